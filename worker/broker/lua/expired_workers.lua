#!lua
-- Who has died: the workers whose lease has ended, the recoverers' to do.
--
-- An active list without any lease (deleted by hand, or filled by a claim that reached Redis after
-- its worker was forgotten) gets a lease that ended long ago, so that the same way finds it.
--
-- KEYS  1 workers   2... active lists that a scan came upon
-- ARGV  1... the worker id of each of those lists
-- reply the worker ids, longest dead first
for i = 1, #ARGV do
  if redis.call('EXISTS', KEYS[1 + i]) == 1 then redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[i]) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE')
