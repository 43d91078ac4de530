#!lua
-- List the workers whose lease has ended, for recoverers.
--
-- An active list whose worker has no lease at all (deleted by hand, or filled by a claim that
-- reached Redis after its worker was recovered) gets a lease that ended in 1970, so that it is
-- listed too.
--
-- KEYS  1 workers   2... active lists that a scan found
-- ARGV  1... the worker id of each of those lists
-- reply the worker ids, the one whose lease ended first in front
for i = 1, #ARGV do
  if redis.call('EXISTS', KEYS[1 + i]) == 1 then redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[i]) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE')
