#!lua flags=allow-oom
-- Take a lease, for the first time or again, and return what the active list holds.
--
-- Allowed when Redis is out of memory, as renewing is.
--
-- KEYS  1 active list   2 workers
-- ARGV  1 worker id   2 length of the lease, ms
-- reply 1 Redis's time, ms   2 the jobs in the active list, oldest first
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
local held = redis.call('LRANGE', KEYS[1], 0, -1)
for i = 1, math.floor(#held / 2) do
  held[i], held[#held + 1 - i] = held[#held + 1 - i], held[i]
end
return {now, held}
