#!lua
-- Take an entry off the dead list and put its job back at the end of the queue.
--
-- KEYS  1 pending   2 dead list
-- ARGV  1 the entry, byte for byte   2 the job to enqueue
-- reply 1, or 0 where the entry is gone (somebody else was quicker)
if not redis.call('LPOS', KEYS[2], ARGV[1]) then return 0 end
redis.call('LPUSH', KEYS[1], ARGV[2])
redis.call('LREM', KEYS[2], 1, ARGV[1])
return 1
