-- Adds one batch to a day, once.
-- KEYS live uniques visits now [log]
-- ARGV 1 stream, 2 seq, 3 generation, 4 proposed generation, 5 oldest, 6 path cap, 7 value cap, 8 visit cap, 9 ttl,
--      10 dense, 11 visit gap, 12 now seconds, 13 names per visitor, 14 visits as JSON, 15 counters as JSON,
--      [16 blob of the visit log, 17 its hits, 18 most bytes of the log,] visitor ...
-- Answers {status, generation, seal number, durable seal number, field, increment, ...}: OK, DUP (was applied),
-- GAP (Redis was rolled back) or GEN (another generation); after OK the counters that visits made grow.
local L, U, V, NOW, LOG, c = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], redis.call
local VISIT_GAP, NOW_SECONDS = tonumber(ARGV[11]), tonumber(ARGV[12])
local NOW_STEP = 1000
-- A space and eight hexadecimal digits for each name.
local MOST_SEEN = 9 * tonumber(ARGV[13])

-- Before the first write, so that nothing malformed can end the script half-way.
local touches, counts = cjson.decode(ARGV[14]), cjson.decode(ARGV[15])

-- What is damaged costs itself alone: an error after the first write would leave half of the batch.
for key, command in pairs({[L] = 'HLEN', [V] = 'HLEN', [NOW] = 'ZCARD'}) do
  if type(redis.pcall(command, key)) == 'table' then c('UNLINK', key) end
end
if LOG and type(redis.pcall('LLEN', LOG)) == 'table' then c('UNLINK', LOG) end

local h = c('HMGET', L, '#g', '#n', '#f', '#k', '#w:' .. ARGV[1])
local g = h[1]
local sound = g and string.match(g, '^%x+$') and tonumber(h[2]) and tonumber(h[3]) and tonumber(h[4])
if g and not (sound and tonumber(h[5] or '0')) then
  -- Without its header nobody knows what of it is in the database; processes write their batches there themselves.
  c('UNLINK', L)
  g, h = false, {}
end
if not g then
  g = ARGV[4]
  c('HSET', L, '#g', g, '#n', 1, '#f', 0, '#k', 0, '#p', '', '#s', '')
end
-- A batch that is repeated must not enter another generation: its process may have settled the earlier one.
if g ~= ARGV[3] then return {'GEN', g, 0, 0} end
local seq, last = tonumber(ARGV[2]), tonumber(h[5] or '0')
-- With nothing live, what was applied is in an earlier seal.
if seq <= last then return {'DUP', g, h[2] - (h[4] == '0' and 1 or 0), tonumber(h[3])} end
-- A number that is missing was lost in a rollback, and only its process still has the batch.
if seq ~= last + 1 then return {'GAP', g, 0, 0} end

c('HSET', L, '#w:' .. ARGV[1], seq)
c('HSETNX', L, '#o', ARGV[5])
if seq == 1 then c('HSET', L, '#s', (c('HGET', L, '#s') or '') .. ARGV[1] .. ' ') end

local held, path_cap, value_cap = tonumber(h[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
local distinct, derived, views_added = {}, {}, 0

-- Adds to a field, and returns its value; one that is no number begins anew.
local function increase(f, v)
  local sum = redis.pcall('HINCRBY', L, f, v)
  if type(sum) == 'number' then return sum end
  if not (string.find(sum.err, 'integer') or string.find(sum.err, 'overflow')) then return c('HINCRBY', L, f, v) end
  c('HSET', L, f, v)
  redis.pcall('HINCRBY', L, 'ledger:dropped_damaged', 1)
  return v
end

local function add(f, v)
  local dimension = string.sub(f, 1, string.find(f, ':', 1, true) - 1)
  local n = distinct[dimension]
  if not n then n = tonumber(c('HGET', L, '#c:' .. dimension) or '0') or 0 end
  if dimension == 'p' then views_added = views_added + v end
  -- The new visitors of pages have as many values as the pages.
  local cap = (dimension == 'p' or dimension == 'p+') and path_cap or value_cap
  if n >= cap and c('HEXISTS', L, f) == 0 then f = dimension .. ':(other)' end
  if increase(f, v) == v then
    n = n + 1
    held = held + 1
  end
  distinct[dimension] = n
end

-- Sums first, because the visits of a batch share a few counters.
local function derive(f, v) derived[f] = (derived[f] or 0) + v end

-- Adds a digest to a list of them, and says whether it was new.
local function seen(list, digest)
  digest = ' ' .. digest
  if #list >= MOST_SEEN or string.find(list, digest, 1, true) then return list, false end
  return list .. digest, true
end

local function room(id, now)
  if c('HLEN', V) < tonumber(ARGV[8]) then return true end
  -- A sample, because a look at every visit would hold up all other commands of Redis.
  local some = c('HRANDFIELD', V, 16, 'WITHVALUES')
  for i = 1, #some, 2 do
    if tonumber(string.match(some[i + 1], '^%d+') or '0') < now - VISIT_GAP then c('HDEL', V, some[i]) end
  end
  return c('HLEN', V) < tonumber(ARGV[8])
end

for f, v in pairs(counts) do add(f, v) end

local newest = 0
for _, touch in ipairs(touches) do
  local id, first, latest, views, paths, fields, events = unpack(touch)
  local state, before, n, pages, done = c('HGET', V, id), nil, 0, '', ''
  if state then
    before, n, pages, done = string.match(state, '^(%d+) (%d+)|([^|]*)|(.*)$')
    before, n = tonumber(before), tonumber(n)
    if not before then pages, done = '', '' end
  end
  if (not before or first > before + VISIT_GAP) and views > 0 then
    before, n, done = first, 0, ''
    derive('t:visits', 1)
    for _, f in ipairs(fields) do derive(f, 1) end
  end
  -- An event after the visit's end neither continues it nor begins one.
  if before and first > before + VISIT_GAP then before = nil end
  if before then
    c('ZADD', NOW, latest, id)
    newest = math.max(newest, latest)
    local engaged = n >= 2
    n = n + views + #events / 2
    if n >= 2 and not engaged then derive('t:engaged', 1) end
    if latest > before then derive('t:seconds', latest - before) else latest = before end
    local fresh
    for i = 1, #paths, 2 do
      pages, fresh = seen(pages, paths[i + 1])
      if fresh then derive('p+:' .. paths[i], 1) end
    end
    for i = 1, #events, 2 do
      done, fresh = seen(done, events[i + 1])
      if fresh then derive('event+:' .. events[i], 1) end
    end
    if state or room(id, latest) then c('HSET', V, id, latest .. ' ' .. n .. '|' .. pages .. '|' .. done) end
  end
end
if newest > 0 then
  c('EXPIRE', V, ARGV[9])
  -- In steps, twice as many as a batch adds: a million at once would take Redis most of a second.
  local old = c('ZCOUNT', NOW, '-inf', newest - NOW_SECONDS)
  old = math.min(math.max(old, c('ZCARD', NOW) - tonumber(ARGV[8])), math.max(NOW_STEP, 2 * #touches))
  if old > 0 then c('ZREMRANGEBYRANK', NOW, 0, old - 1) end
  c('EXPIRE', NOW, 2 * NOW_SECONDS)
end

local answer = {'OK', g, tonumber(h[2]), tonumber(h[3])}
for f, v in pairs(derived) do
  add(f, v)
  answer[#answer + 1] = f
  answer[#answer + 1] = v
end
if held == 0 then held = 1 end
c('HSET', L, '#k', held)
-- The sum of views, so that the status need not read all counters.
if views_added > 0 then increase('#v', views_added) end
for dimension, n in pairs(distinct) do c('HSET', L, '#c:' .. dimension, n) end

-- Where the counters are, in the header, stands how many hits the list should tell: it may be evicted alone.
local function log(blob, hits, most)
  local bytes = tonumber(c('HGET', L, '#bytes') or '')
  -- What is left there came with counters that Redis has lost.
  if not bytes then c('UNLINK', LOG) end
  if (bytes or 0) + #blob > most then return increase('ledger:log_dropped', hits) end
  c('RPUSH', LOG, blob)
  increase('#b', hits)
  c('HSET', L, '#bytes', (bytes or 0) + #blob)
end
if LOG then log(ARGV[16], tonumber(ARGV[17]), tonumber(ARGV[18])) end

local ids_at = LOG and 19 or 16
local function add_visitors()
  -- A dense sketch can be merged with the one in the database register by register.
  if ARGV[10] == '1' and c('EXISTS', U) == 0 then c('SET', U, 'HYLL' .. string.rep('\0', 12300)) end
  return redis.pcall('PFADD', U, unpack(ARGV, ids_at))
end

-- A corrupt sketch must not end the script half-way; what earlier flushes read of it is in the database.
if #ARGV >= ids_at and type(add_visitors()) == 'table' then
  c('UNLINK', U)
  add_visitors()
end
return answer
