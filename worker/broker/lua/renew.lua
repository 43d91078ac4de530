#!lua flags=allow-oom
-- Heartbeat: renew a lease that is still live. One that has ended stays ended, since a recoverer
-- may have begun to empty the active list; its owner has to register again.
--
-- Allowed when Redis is out of memory: it only changes a score, and if the lease ended for lack of
-- memory, its jobs would run twice.
--
-- KEYS  1 workers   2 active list
-- ARGV  1 worker id   2 length of the lease, ms
-- reply 1 Redis's time, ms   2 renewed (1/0)   3 length of the active list
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0) <= now then return {now, 0, 0} end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
return {now, 1, redis.call('LLEN', KEYS[2])}
