#!lua flags=allow-oom
-- Give back every job of the active list, in order, and end the lease: the worker is stopping.
--
-- Allowed when Redis is out of memory: it only moves what Redis holds already.
--
-- KEYS  1 pending   2 active list   3 workers
-- ARGV  1 worker id
-- reply how many jobs were given back
local count = 0
while redis.call('LMOVE', KEYS[2], KEYS[1], 'LEFT', 'RIGHT') do count = count + 1 end
redis.call('ZREM', KEYS[3], ARGV[1])
return count
