#!lua flags=no-writes
-- Count the jobs that are not final yet, at one moment, so that none is missed while it moves.
--
-- KEYS  1 pending   2 scheduled   3 workers
-- ARGV  1 the prefix of the keys of active lists
-- reply the number
local left = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  left = left + redis.call('LLEN', ARGV[1] .. worker)
end
return left
