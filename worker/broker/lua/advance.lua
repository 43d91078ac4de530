#!lua
-- For tests: let time pass for a queue's scheduled jobs. Those that become due are pending at once,
-- so that an idle worker takes them at once.
--
-- KEYS  1 pending   2 scheduled
-- ARGV  1 ms
-- reply how many jobs became due
local pending, scheduled = KEYS[1], KEYS[2]
local jobs = redis.call('ZRANGE', scheduled, 0, -1, 'WITHSCORES')
for i = 1, #jobs, 2 do
  redis.call('ZADD', scheduled, string.format('%.0f', jobs[i + 1] - ARGV[1]), jobs[i])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGE', scheduled, '-inf', now, 'BYSCORE')
for _, job in ipairs(due) do
  redis.call('LPUSH', pending, job)
  redis.call('ZREM', scheduled, job)
end
return #due
