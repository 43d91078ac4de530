#!lua flags=no-writes
-- How many jobs are not final yet, seen at one moment, so that none slips by on its way.
--
-- KEYS  1 pending   2 scheduled   3 workers
-- ARGV  1 what the key of every active list begins with
-- reply the number
local left = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  left = left + redis.call('LLEN', ARGV[1] .. worker)
end
return left
