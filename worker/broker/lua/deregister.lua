#!lua flags=allow-oom
-- Leave: give back all that the active list still holds, in its order, and hand in the lease.
--
-- Allowed when Redis is out of memory: it moves what is there.
--
-- KEYS  1 pending   2 active list   3 workers
-- ARGV  1 worker id
-- reply how many jobs went back
local count = 0
while redis.call('LMOVE', KEYS[2], KEYS[1], 'LEFT', 'RIGHT') do count = count + 1 end
redis.call('ZREM', KEYS[3], ARGV[1])
return count
