#!lua
-- Take entries off the dead list and put their jobs back at the end of the queue.
--
-- KEYS  1 pending   2 dead list
-- ARGV  two for each entry: the entry, byte for byte; the job to enqueue
-- reply how many went back: an entry that is gone (somebody else was quicker) does not count
local count = 0
for i = 1, #ARGV, 2 do
  -- From the right, where the oldest are: whoever retries them all begins there. And off the list
  -- last, so that an error on the way leaves the entry where it was.
  if redis.call('LPOS', KEYS[2], ARGV[i], 'RANK', -1) then
    redis.call('LPUSH', KEYS[1], ARGV[i + 1])
    redis.call('LREM', KEYS[2], -1, ARGV[i])
    count = count + 1
  end
end
return count
