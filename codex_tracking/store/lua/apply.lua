-- Adds one batch to a day, once. The second part of one script, after visits.lua.
-- KEYS live uniques visits now [log]
-- ARGV 1 stream, 2 seq, 3 generation, 4 proposed generation, 5 oldest, 6 path cap, 7 value cap, 8 visit cap, 9 ttl,
--      10 dense, 11 visit gap, 12 now seconds, 13 names per visitor, 14 skipped prefixes that no path begins with,
--      15 and 16 names and rows of visits, 17 and 18 names and numbers of counters, 19 views among them,
--      [20 blob of the visit log, 21 its hits, 22 most bytes of the log,] visitor without visits ...
-- Answers {status, generation, seal number, durable seal number, grown}: OK, DUP (was applied), GAP (Redis was rolled
-- back) or GEN (another generation). After OK, grown tells what the visits made grow: visits, engaged visits and
-- seconds, and a byte for each set, entry page, page and event: how often it is added; empty without visits.
local L, U, LOG = KEYS[1], KEYS[2], KEYS[5]
local PATH_CAP, VALUE_CAP = tonumber(ARGV[6]), tonumber(ARGV[7])
-- Batches of a stream between two that tidy up.
local TIDY = 4

-- Numbers above 255 follow the names; the others are bytes.
local names, bytes = cjson.decode(ARGV[17]), ARGV[18]
local fields, larger = #bytes, {}
for i = fields + 1, #names do larger[i - fields] = names[i] end
if LOG then read(LOG, 'LLEN') end

-- The values that most counters of a view have new ones of; those of other dimensions are asked for where they do.
local HEADER = {'#g', '#n', '#f', '#k', '#w:' .. ARGV[1], '#o', '#v', '#b', '#bytes', '#x',
  '#c:p', '#c:page_source', '#c:entry+', '#c:p+'}
local h = read(L, 'HMGET', unpack(HEADER))
local g = h[1]
local sound = g and match(g, '^%x+$') and tonumber(h[2]) and tonumber(h[3]) and tonumber(h[4])
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
if g ~= ARGV[3] then return {'GEN', g, 0, 0, ''} end
local seq, last = tonumber(ARGV[2]), tonumber(h[5] or '0')
-- With nothing live, what was applied is in an earlier seal.
if seq <= last then return {'DUP', g, h[2] - (h[4] == '0' and 1 or 0), tonumber(h[3]), ''} end
-- A number that is missing was lost in a rollback, and only its process still has the batch.
if seq ~= last + 1 then return {'GAP', g, 0, 0, ''} end

-- --- counters: names, what is added to them, and the dimensions of those that this script adds ---

-- At once, as one by one takes ten times as long; no batch has as many as Lua cannot return.
local adds, dimensions, large = {byte(bytes, 1, fields)}, {}, 0

-- No batch brings these itself, so that each field is written once.
local function derive(f, n, dimension)
  if n == 0 then return end
  fields = fields + 1
  names[fields], adds[fields], dimensions[fields] = f, n, dimension
end

local function in_bytes(list)
  local parts = {}
  for first = 1, #list, FIELDS do
    parts[#parts + 1] = char(unpack(list, first, min(first + FIELDS - 1, #list)))
  end
  return table.concat(parts)
end

local grown = ''
if sets then
  local visited, engaged, seconds, begun, entries, fresh, done = work_out()
  grown = text_of(visited) .. ' ' .. text_of(engaged) .. ' ' .. text_of(seconds) .. ' ' ..
    in_bytes(begun) .. in_bytes(entries) .. in_bytes(fresh) .. in_bytes(done)
  derive('t:visits', visited)
  derive('t:engaged', engaged)
  derive('t:seconds', seconds)
  local sums = {}
  for i, n in ipairs(begun) do
    if n > 0 then for _, f in ipairs(sets[i]) do sums[f] = (sums[f] or 0) + n end end
  end
  for f, n in pairs(sums) do derive(f, n) end
  for i = 1, #pages do
    if fresh[i] > 0 then derive('p+:' .. pages[i], fresh[i], 'p+') end
    if entries[i] > 0 then derive('entry+:' .. pages[i], entries[i], 'entry+') end
  end
  for i = 1, #events do derive('event+:' .. events[i], done[i], 'event+') end
end

-- Fields and their new values, flat; dimension -> its distinct values, of those that get new ones.
local sums, at_end, distinct, held = {}, 0, {}, tonumber(h[4])
-- Distinct values by dimension, as the header has them.
local noted = {p = h[11], page_source = h[12], ['entry+'] = h[13], ['p+'] = h[14]}
-- What is added to fields that may be among the sums already: (other), and what this script itself reports.
local late = {}
-- So that a day whose visits the log tells otherwise than the counters says why.
if stateless > 0 then late['ledger:dropped_state'] = stateless end

local function put(f, value)
  sums[at_end + 1], sums[at_end + 2] = f, value
  at_end = at_end + 2
end

local function dimension_of(f) return sub(f, 1, find(f, ':', 1, true) - 1) end

local function begin(f, v, dimension)
  -- The new visitors of pages have as many values as the pages.
  local cap = (dimension == 'p' or dimension == 'p+') and PATH_CAP or VALUE_CAP
  local n = distinct[dimension]
  if not n then
    n = noted[dimension]
    if n == nil then n = c('HGET', L, '#c:' .. dimension) end
    n = number(n) or 0
  end
  if n >= cap then
    distinct[dimension] = n
    f = dimension .. ':(other)'
    late[f] = (late[f] or 0) + v
    return
  end
  distinct[dimension] = n + 1
  held = held + 1
  put(f, text_of(v))
end

-- First, because a Redis without memory refuses a script's first write alone, and only one that needs memory.
put(HEADER[5], ARGV[2])
for first = 1, fields, FIELDS do
  local olds = c('HMGET', L, unpack(names, first, min(first + FIELDS - 1, fields)))
  for i = 1, #olds do
    local place, old = first + i - 1, olds[i]
    local f, v = names[place], adds[place]
    if v == 0 then
      large = large + 1
      v = larger[large]
    end
    if old then
      local sum = NUMBERS[old] or number(old)
      -- One that is no number begins anew.
      if not sum then late['ledger:dropped_damaged'] = (late['ledger:dropped_damaged'] or 0) + 1 end
      sum = (sum or 0) + v
      sums[at_end + 1], sums[at_end + 2] = f, TEXTS[sum] or text_of(sum)
      at_end = at_end + 2
    else
      begin(f, v, dimensions[place] or dimension_of(f))
    end
  end
end

-- --- writes ---

-- Where the counters are, in the header, stands how many hits the list should tell: it may be evicted alone.
local logged, log_bytes = false, number(h[9])
if LOG then
  local size, hits = (log_bytes or 0) + #ARGV[20], tonumber(ARGV[21])
  logged = size <= tonumber(ARGV[22])
  if logged then
    put('#b', text_of((number(h[8]) or 0) + hits))
    put('#bytes', text_of(size))
  else
    late['ledger:log_dropped'] = (late['ledger:log_dropped'] or 0) + hits
  end
end

for f, v in pairs(late) do
  local old
  -- The same field may have come with the batch.
  for i = 1, at_end, 2 do
    if sums[i] == f then old = sums[i + 1] end
  end
  old = old or c('HGET', L, f)
  local dimension = dimension_of(f)
  if not old and distinct[dimension] then
    distinct[dimension] = distinct[dimension] + 1
    held = held + 1
  end
  put(f, text_of((number(old) or 0) + v))
end
put('#k', text_of(math.max(held, 1)))
-- The sum of views, so that the status need not read all counters.
local views = tonumber(ARGV[19])
if views > 0 then
  put('#v', text_of((number(h[7]) or 0) + views))
  -- Then it is the sum of what is shown. Processes may differ while a change of the setting is rolled out.
  if not h[7] then put('#x', ARGV[14]) elseif h[10] ~= ARGV[14] then put('#x', '') end
end
for dimension, n in pairs(distinct) do put('#c:' .. dimension, text_of(n)) end
if not h[6] then put('#o', ARGV[5]) end
if seq == 1 then put('#s', (c('HGET', L, '#s') or '') .. ARGV[1] .. ' ') end
write(L, sums, at_end)
if logged then
  -- What is left there came with counters that Redis has lost.
  if not log_bytes then c('UNLINK', LOG) end
  c('RPUSH', LOG, ARGV[20])
end
if states_at > 0 then write_visits(seq % TIDY == 1) end

local function add_visitors(list, from)
  for at = from, #list, FIELDS do
    -- A dense sketch can be merged with the one in the database register by register.
    if ARGV[10] == '1' and c('EXISTS', U) == 0 then c('SET', U, 'HYLL' .. string.rep('\0', 12300)) end
    -- A corrupt sketch must not end the script half-way; what earlier flushes read of it is in the database.
    local answer = redis.pcall('PFADD', U, unpack(list, at, min(at + FIELDS - 1, #list)))
    if type(answer) == 'table' then
      c('UNLINK', U)
      return add_visitors(list, at)
    end
  end
end
add_visitors(ids, 1)
add_visitors(ARGV, LOG and 23 or 20)
return {'OK', g, tonumber(h[2]), tonumber(h[3]), grown}
