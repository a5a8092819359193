-- Adds one batch to a day, once.
-- KEYS live uniques visits now [log]
-- ARGV 1 stream, 2 seq, 3 generation, 4 proposed generation, 5 oldest, 6 path cap, 7 value cap, 8 visit cap, 9 ttl,
--      10 dense, 11 visit gap, 12 now seconds, 13 names per visitor, 14 skipped prefixes that no path begins with,
--      15 visits as JSON, 16 counters in lines, 17 place and number of those that do not grow by 1,
--      [18 blob of the visit log, 19 its hits, 20 most bytes of the log,] visitor without visits ...
-- Answers {status, generation, seal number, durable seal number, grown}: OK, DUP (was applied), GAP (Redis was rolled
-- back) or GEN (another generation). After OK, grown tells what the visits made grow, as JSON: visits, engaged visits,
-- seconds, and lists of how often each set, entry page, page and event is added; empty without visits.
local L, U, V, NOW, LOG, c = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], redis.call
local VISIT_GAP, NOW_SECONDS = tonumber(ARGV[11]), tonumber(ARGV[12])
local NOW_STEP = 1000
-- A space and eight hexadecimal digits for each name.
local MOST_SEEN = 9 * tonumber(ARGV[13])
-- Fields of one command: Lua cannot unpack more than some 8,000 at once.
local FIELDS = 500
-- Digits of a counter; what has more is damaged.
local MOST_DIGITS = 12
local byte, find, format, match, min, sub = string.byte, string.find, string.format, string.match, math.min, string.sub

-- Numbers as text, and back: a conversion takes Lua as long as Redis takes for a field, and most numbers are small.
local TEXTS, NUMBERS = {}, {}
for n = 0, 9 do
  local digit = string.char(48 + n)
  TEXTS[n], NUMBERS[digit] = digit, n
end

local function text_of(n)
  local text = TEXTS[n]
  if not text then
    text = format('%d', n)
    TEXTS[n] = text
  end
  return text
end

local function number(text)
  local n = text and NUMBERS[text]
  if text and not n and #text <= MOST_DIGITS and find(text, '^%d+$') then
    n = tonumber(text)
    NUMBERS[text] = n
  end
  return n
end

-- Before the first write, so that nothing malformed can end the script half-way.
local visits = cjson.decode(ARGV[15])
-- Counters as lines take a fifth of the time of JSON. Most grow by one; of others their place and number follow.
local names, counts, fields = {}, {}, 0
for f in string.gmatch(ARGV[16], '[^\n]+') do
  fields = fields + 1
  names[fields] = f
  counts[f] = 1
end
for place, n in string.gmatch(ARGV[17], '(%d+) (%d+)') do counts[names[number(place)]] = number(n) end

-- What is damaged costs itself alone: an error after the first write would leave half of the batch.
local function read(key, command, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  c('UNLINK', key)
  return c(command, key, ...)
end
if LOG then read(LOG, 'LLEN') end

local HEADER = {'#g', '#n', '#f', '#k', '#w:' .. ARGV[1], '#o', '#v', '#b', '#bytes', '#x'}
local h = read(L, 'HMGET', unpack(HEADER))
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
if g ~= ARGV[3] then return {'GEN', g, 0, 0, ''} end
local seq, last = tonumber(ARGV[2]), tonumber(h[5] or '0')
-- With nothing live, what was applied is in an earlier seal.
if seq <= last then return {'DUP', g, h[2] - (h[4] == '0' and 1 or 0), tonumber(h[3]), ''} end
-- A number that is missing was lost in a rollback, and only its process still has the batch.
if seq ~= last + 1 then return {'GAP', g, 0, 0, ''} end

-- --- visits: what they make grow is added to the counters, so that each field is written once ---

local function derive(f, n)
  if n == 0 then return end
  local known = counts[f]
  if not known then
    fields = fields + 1
    names[fields] = f
  end
  counts[f] = (known or 0) + n
end

local function zeros(n)
  local list = {}
  for i = 1, n do list[i] = 0 end
  return list
end

-- Adds a digest to a list of them, and says whether it was new.
local function seen(list, digest)
  if list == '' then return digest, true end
  if #list >= MOST_SEEN or find(list, digest, 1, true) then return list, false end
  return list .. digest, true
end

local grown, states, present, here, newest = '', {}, {}, 0, 0

local function work_out()
  local ids, sets, pages, events = visits.visitors, visits.sets, visits.pages, visits.events or {}
  local begun, entries, fresh, done = zeros(#sets), zeros(#pages / 2), zeros(#pages / 2), zeros(#events / 2)
  local visited, engaged, seconds = 0, 0, 0
  local known, one = {}, {}
  for at = 1, #ids, FIELDS do
    local some = read(V, 'HMGET', unpack(ids, at, min(at + FIELDS - 1, #ids)))
    for i = 1, #some do known[at + i - 1] = some[i] end
  end
  local free
  for i = 1, #ids do
    local id, first, latest, views = ids[i], visits.first[i], visits.last[i], visits.views[i]
    -- A visitor may come twice in one batch, with a pause between.
    local state = states[id] or known[i]
    local before, n, looked, did = nil, 0, '', ''
    if state then
      before, n, looked, did = match(state, '^(%d+) (%d+)|([^|]*)|(.*)$')
      before, n = number(before), number(n) or 0
      if not before then looked, did = '', '' end
    end
    local numbers = visits.seen[i]
    if type(numbers) == 'number' then
      one[1] = numbers
      numbers = one
    end
    if (not before or first > before + VISIT_GAP) and views > 0 then
      before, n, did = first, 0, ''
      visited = visited + 1
      entries[numbers[1]] = entries[numbers[1]] + 1
      for k = 3 * i - 2, 3 * i do
        local set = visits.begins[k]
        begun[set] = begun[set] + 1
      end
    end
    -- An event after the visit's end neither continues it nor begins one.
    if before and first > before + VISIT_GAP then before = nil end
    if before then
      here = here + 2
      present[here - 1], present[here] = text_of(latest), id
      if latest > newest then newest = latest end
      local events_of = visits.done and visits.done[i] or {}
      local was_engaged, new = n >= 2, nil
      n = n + views + #events_of
      if n >= 2 and not was_engaged then engaged = engaged + 1 end
      if latest > before then seconds = seconds + latest - before else latest = before end
      for _, page in ipairs(numbers) do
        looked, new = seen(looked, pages[2 * page])
        if new then fresh[page] = fresh[page] + 1 end
      end
      for _, event in ipairs(events_of) do
        did, new = seen(did, events[2 * event])
        if new then done[event] = done[event] + 1 end
      end
      if not state then
        free = free or tonumber(ARGV[8]) - c('HLEN', V)
        if free <= 0 then
          -- A sample, because a look at every visit would hold up all other commands of Redis.
          local some = c('HRANDFIELD', V, 16, 'WITHVALUES')
          for k = 1, #some, 2 do
            local over = tonumber(match(some[k + 1], '^%d+') or '0') < latest - VISIT_GAP
            if over and not states[some[k]] then free = free + c('HDEL', V, some[k]) end
          end
        end
        free = free - 1
      end
      if state or free >= 0 then
        states[id] = text_of(latest) .. ' ' .. text_of(n) .. '|' .. looked .. '|' .. did
      else
        free = 0
      end
    end
  end
  derive('t:visits', visited)
  derive('t:engaged', engaged)
  derive('t:seconds', seconds)
  for i, n in ipairs(begun) do
    if n > 0 then for _, f in ipairs(sets[i]) do derive(f, n) end end
  end
  for i, n in ipairs(entries) do
    derive('entry+:' .. pages[2 * i - 1], n)
    derive('p+:' .. pages[2 * i - 1], fresh[i])
  end
  for i, n in ipairs(done) do derive('event+:' .. events[2 * i - 1], n) end
  local lists = {}
  for i, list in ipairs({begun, entries, fresh, done}) do
    for k, n in ipairs(list) do list[k] = text_of(n) end
    lists[i] = '[' .. table.concat(list, ',') .. ']'
  end
  grown = '[' .. table.concat({visited, engaged, seconds, unpack(lists)}, ',') .. ']'
end
if visits.visitors then work_out() end

-- --- counters ---

local held, path_cap, value_cap = tonumber(h[4]), tonumber(ARGV[6]), tonumber(ARGV[7])
-- Fields and their new values, flat; dimension -> its distinct values, of those that get new ones.
local sums, at_end, distinct, views_added = {}, 0, {}, 0
-- What is added to fields that may be among the sums already: (other), and what this script itself reports.
local late = {}

local function put(f, value)
  sums[at_end + 1], sums[at_end + 2] = f, value
  at_end = at_end + 2
end

-- Adds to a field that Redis has; one that is no number begins anew.
local function increase(f, v, old)
  local sum = number(old)
  if not sum then late['ledger:dropped_damaged'] = (late['ledger:dropped_damaged'] or 0) + 1 end
  put(f, text_of((sum or 0) + v))
end

local function begin(f, v, dimension)
  -- The new visitors of pages have as many values as the pages.
  local cap = (dimension == 'p' or dimension == 'p+') and path_cap or value_cap
  if distinct[dimension] >= cap then
    f = dimension .. ':(other)'
    late[f] = (late[f] or 0) + v
    return
  end
  distinct[dimension] = distinct[dimension] + 1
  held = held + 1
  put(f, text_of(v))
end

-- Returns the dimensions of new fields, and reads how many values they have, all at once.
local function dimensions_of(first, olds)
  local dimensions, asked, headers = {}, {}, {}
  for i = 1, #olds do
    if not olds[i] then
      local f = names[first + i - 1]
      local dimension = sub(f, 1, find(f, ':', 1, true) - 1)
      dimensions[i] = dimension
      if not distinct[dimension] then
        distinct[dimension] = 0
        asked[#asked + 1] = dimension
        headers[#headers + 1] = '#c:' .. dimension
      end
    end
  end
  local found = #headers > 0 and c('HMGET', L, unpack(headers)) or {}
  for i, n in ipairs(found) do distinct[asked[i]] = number(n) or 0 end
  return dimensions
end

for first = 1, fields, FIELDS do
  local olds = c('HMGET', L, unpack(names, first, min(first + FIELDS - 1, fields)))
  local dimensions = dimensions_of(first, olds)
  for i = 1, #olds do
    local f, old = names[first + i - 1], olds[i]
    local v, letter, colon = counts[f], byte(f, 1, 2)
    -- A page's views, "p:".
    if letter == 112 and colon == 58 then views_added = views_added + v end
    if old then increase(f, v, old) else begin(f, v, dimensions[i]) end
  end
end

-- --- writes ---

-- Where the counters are, in the header, stands how many hits the list should tell: it may be evicted alone.
local function log(blob, hits, most)
  local bytes = number(h[9])
  -- What is left there came with counters that Redis has lost.
  if not bytes then c('UNLINK', LOG) end
  if (bytes or 0) + #blob > most then
    late['ledger:log_dropped'] = (late['ledger:log_dropped'] or 0) + hits
    return
  end
  c('RPUSH', LOG, blob)
  put('#b', text_of((number(h[8]) or 0) + hits))
  put('#bytes', text_of((bytes or 0) + #blob))
end

-- First, because a Redis without memory refuses a script's first write alone, and only one that needs memory.
c('HSET', L, HEADER[5], seq)
if LOG then log(ARGV[18], tonumber(ARGV[19]), tonumber(ARGV[20])) end
for f, v in pairs(late) do
  local old
  -- The same field may have come with the batch.
  for i = 1, counts[f] and at_end or 0, 2 do
    if sums[i] == f then old = sums[i + 1] end
  end
  old = old or c('HGET', L, f)
  local dimension = sub(f, 1, find(f, ':', 1, true) - 1)
  if not old and distinct[dimension] then
    distinct[dimension] = distinct[dimension] + 1
    held = held + 1
  end
  put(f, text_of((number(old) or 0) + v))
end
put('#k', text_of(math.max(held, 1)))
-- The sum of views, so that the status need not read all counters.
if views_added > 0 then
  put('#v', text_of((number(h[7]) or 0) + views_added))
  -- Then it is the sum of what is shown. Processes may differ while a change of the setting is rolled out.
  if not h[7] then put('#x', ARGV[14]) elseif h[10] ~= ARGV[14] then put('#x', '') end
end
for dimension, n in pairs(distinct) do put('#c:' .. dimension, text_of(n)) end
if not h[6] then put('#o', ARGV[5]) end
if seq == 1 then put('#s', (c('HGET', L, '#s') or '') .. ARGV[1] .. ' ') end

-- Writes fields and values in a few commands; of a field that comes twice the last value holds.
local function write(key, flat, size)
  for first = 1, size, 2 * FIELDS do c('HSET', key, unpack(flat, first, min(first + 2 * FIELDS - 1, size))) end
end
write(L, sums, at_end)

if newest > 0 then
  local flat, size = {}, 0
  for id, state in pairs(states) do
    flat[size + 1], flat[size + 2] = id, state
    size = size + 2
  end
  write(V, flat, size)
  c('EXPIRE', V, ARGV[9])
  for first = 1, here, 2 * FIELDS do
    read(NOW, 'ZADD', unpack(present, first, min(first + 2 * FIELDS - 1, here)))
  end
  -- In steps, twice as many as a batch adds: a million at once would take Redis most of a second.
  local old = c('ZCOUNT', NOW, '-inf', newest - NOW_SECONDS)
  old = min(math.max(old, c('ZCARD', NOW) - tonumber(ARGV[8])), math.max(NOW_STEP, here))
  if old > 0 then c('ZREMRANGEBYRANK', NOW, 0, old - 1) end
  c('EXPIRE', NOW, 2 * NOW_SECONDS)
end

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
add_visitors(visits.visitors or {}, 1)
add_visitors(ARGV, LOG and 21 or 18)
return {'OK', g, tonumber(h[2]), tonumber(h[3]), grown}
