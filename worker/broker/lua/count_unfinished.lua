#!lua flags=no-writes
-- Count the jobs that are not final yet, at one moment, so that none is missed while it moves.
--
-- KEYS  1 pending   2 scheduled   3 workers
-- ARGV  1 the prefix of the keys of active lists
-- reply 1 pending   2 scheduled   3 active, of all workers
--       4 ms until the next scheduled job is due (0: it is due, or none is scheduled)
local active = 0
for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  active = active + redis.call('LLEN', ARGV[1] .. worker)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local next = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
local wait = next[2] and math.max(0, math.ceil(tonumber(next[2]) - now)) or 0
return {redis.call('LLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), active, wait}
