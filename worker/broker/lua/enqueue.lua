#!lua
-- Enqueue jobs at the back, or schedule them, stamped with Redis's time.
--
-- KEYS  1 pending   2 scheduled
-- ARGV  1 delay, ms ('' for none)
--       2... two for each job: its JSON up to where the time goes, and what follows
--         (the time is left out where the second is '': the job is whole already)
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
    -- White space keeps two jobs of the same bytes two: see exchange.lua.
    while redis.call('ZADD', KEYS[2], 'NX', due, job) == 0 do job = job .. ' ' end
  end
end
return tonumber(now)
