#!lua
-- One exchange: record outcomes, promote scheduled jobs that are due, claim jobs.
--
-- All or nothing: with the shebang, Redis refuses the script before it starts when it is out of
-- memory or a replica. So no job leaves the active list without its outcome being recorded.
-- Safe to repeat: an outcome whose job is no longer in the active list is refused, not repeated.
--
-- KEYS  1 pending list   2 active list of ARGV[1]   3 workers   4 scheduled   5 dead list
--       6... one for each outcome: its result key, or the pending list where it has no result
-- ARGV  1 worker id
--       2 'owner': ARGV[1] is calling
--         'recoverer': another worker is, and nothing happens unless ARGV[1]'s lease has ended
--       3 how many jobs to claim at most (0: none)   4 claim no more jobs past so many bytes
--       5... six for each outcome:
--         op, raw job, result JSON ('' none), ms, reply_to ('' none), extra
--         'finish'  record the result; ms: its time to live
--         'bury'    record the result, if any, and put extra (the entry) on the dead list
--         'later'   schedule extra (the job as it runs next); ms: the delay
--         'front'   requeue extra (the job as it runs next) at the front of pending
--         'last'    bury if alone: as 'bury' where the job was alone in the active list; else
--                   requeue it unchanged, as another of those jobs may have crashed the worker
-- reply 1 Redis's time, ms   2 does ARGV[1] hold a live lease (1/0)
--       3 length of the active list now   4 ms until the next scheduled job is due, if all that
--         was pending is claimed (-1: none is scheduled, or more may be pending)
--       5 indexes (from 1) of outcomes refused, because their job is not in the active list
--       6 index, error, ... for results that could not be pushed to reply_to or published
--       7 the claimed jobs, oldest first
local pending, active, workers, scheduled, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local worker, caller = ARGV[1], ARGV[2]
local limit, budget = tonumber(ARGV[3]), tonumber(ARGV[4])

local call, attempt = redis.call, redis.pcall
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local live = tonumber(call('ZSCORE', workers, worker) or 0) > now
local refused, complaints, claimed = {}, {}, {}

if caller == 'recoverer' and live then
  return {now, 1, call('LLEN', active), -1, refused, complaints, claimed}
end
local alone = caller == 'recoverer' and call('LLEN', active) == 1

-- A scheduled job is a member of a set, where two jobs of equal bytes would become one.
-- White space after the JSON keeps them apart.
local function schedule(job, due)
  while call('ZADD', scheduled, 'NX', string.format('%.0f', due), job) == 0 do
    job = job .. ' '
  end
end

-- Best effort: report the error, and never fail the result for it (reply_to is of another type, no
-- permission).
local function try(index, ...)
  local reply = attempt(...)
  if type(reply) == 'table' and reply.err then
    complaints[#complaints + 1] = index
    complaints[#complaints + 1] = reply.err
  end
end

-- The result comes first: writing it twice changes nothing, and a second entry on the dead list
-- would.
local function settle(index, op, raw, result, ms, reply_to, extra)
  if op == 'last' then
    op = alone and 'bury' or 'front'
    if op == 'front' then extra = raw end
  end
  if op == 'front' then
    call('RPUSH', pending, extra)
    return
  elseif op == 'later' then
    schedule(extra, now + tonumber(ms))
    return
  end
  local key = KEYS[5 + index]
  if result ~= '' then call('SET', key, result, 'PX', ms) end
  if op == 'bury' then call('LPUSH', dead, extra) end
  if result ~= '' then
    try(index, 'PUBLISH', key, result)
    if reply_to ~= '' then try(index, 'LPUSH', reply_to, result) end
  end
end

for index = 1, (#ARGV - 4) / 6 do
  local at = 6 * index - 2
  local raw = ARGV[at + 2]
  -- Search from the right, where the oldest claims are and the job mostly is.
  if call('LREM', active, -1, raw) == 1 then
    local done, problem = pcall(settle, index, ARGV[at + 1], raw, unpack(ARGV, at + 3, at + 6))
    if not done then
      -- The job is in no list now: put it back, and fail with the error.
      call('RPUSH', active, raw)
      return redis.error_reply(type(problem) == 'table' and problem.err or tostring(problem))
    end
  else
    refused[#refused + 1] = index
  end
end

local wait = -1
if live and limit > 0 then
  local due = call('ZRANGE', scheduled, '-inf', now, 'BYSCORE', 'LIMIT', 0, math.min(limit, 1000))
  if #due > 0 then
    call('LPUSH', pending, unpack(due))
    call('ZREM', scheduled, unpack(due))
  end
  local bytes = 0
  while #claimed < limit and bytes < budget do
    local raw = call('LMOVE', pending, active, 'RIGHT', 'LEFT')
    if not raw then break end
    claimed[#claimed + 1] = raw
    bytes = bytes + #raw
  end
  if #claimed < limit and bytes < budget then
    local next = call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
    if next[2] then wait = math.max(0, math.ceil(tonumber(next[2]) - now)) end
  end
end

local held = call('LLEN', active)
if caller == 'recoverer' and held == 0 then call('ZREM', workers, worker) end
return {now, live and 1 or 0, held, wait, refused, complaints, claimed}
