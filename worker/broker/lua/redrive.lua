#!lua
-- Enqueue the jobs of entries of the dead list, and remove the entries.
--
-- KEYS  1 pending   2 dead list
-- ARGV  two for each entry: the entry, byte for byte; the job to enqueue
-- reply how many were enqueued: an entry that another call has removed does not count
local count = 0
for i = 1, #ARGV, 2 do
  -- Search from the right, where the oldest entries are: retrying all begins with those. Remove
  -- the entry last, so that an error on the way leaves it in the list.
  if redis.call('LPOS', KEYS[2], ARGV[i], 'RANK', -1) then
    redis.call('LPUSH', KEYS[1], ARGV[i + 1])
    redis.call('LREM', KEYS[2], -1, ARGV[i])
    count = count + 1
  end
end
return count
