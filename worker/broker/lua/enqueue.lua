#!lua
-- Enqueue jobs at the back, or schedule them, stamped with Redis's time.
--
-- KEYS  1 pending   2 scheduled
-- ARGV  1 delay, ms ('' for none)
--       2... two for each job: its JSON before the time, and its JSON after it
--         ('' for a job that has a time already: the first part is the whole job)
-- reply Redis's time, ms
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local jobs = {}
for i = 2, #ARGV, 2 do
  jobs[#jobs + 1] = ARGV[i + 1] == '' and ARGV[i] or ARGV[i] .. now .. ARGV[i + 1]
end
if ARGV[1] == '' then
  for first = 1, #jobs, 1000 do
    redis.call('LPUSH', KEYS[1], unpack(jobs, first, math.min(first + 999, #jobs)))
  end
else
  local due = string.format('%.0f', now + ARGV[1])
  for _, job in ipairs(jobs) do
    -- White space at the end keeps two jobs of equal bytes apart: see exchange.lua.
    while redis.call('ZADD', KEYS[2], 'NX', due, job) == 0 do job = job .. ' ' end
  end
end
return tonumber(now)
