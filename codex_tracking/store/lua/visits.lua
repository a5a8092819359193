-- The visits of a batch: their states, and how much they make counters grow. The first part of apply.lua.
-- State of a visitor's day: "<second of the last view> <views and events>|<digests of pages>|<digests of events>", the
-- pages of the day, the events of the visit.
local byte, c, char, find, format, match = string.byte, redis.call, string.char, string.find, string.format, string.match
local min, sub = math.min, string.sub
local V, NOW, PRESENT = KEYS[3], KEYS[4], KEYS[5]
local MOST_STATES, STATE_SECONDS = tonumber(ARGV[6]), ARGV[7]
local VISIT_GAP, NOW_SECONDS = tonumber(ARGV[9]), tonumber(ARGV[10])
-- Twice as long as anybody asks for, since clocks of processes differ.
local KEPT_SECONDS = 2 * NOW_SECONDS
local NOW_STEP = 500
-- Seconds that are counted, between two times that old ones are forgotten; as many again take Redis 0.1 ms.
local MOST_SECONDS = 1000
-- No state differs by more from a view of the same day, the longest of which has 25 hours.
local DAY = 90000
-- A space and eight hexadecimal digits for each name.
local DIGEST = 9
local MOST_SEEN = DIGEST * tonumber(ARGV[11])
-- Characters of a hashed visitor, and bytes of a row without its pages and events.
local ID, ROW = 22, 17
-- Fields of one command: Lua cannot unpack more than some 8,000 at once.
local FIELDS = 500
-- A counter that is larger is damaged.
local MOST = 1e12

-- Numbers as text, and back: a conversion takes Lua as long as Redis takes for a field, and most numbers are small.
local TEXTS = {[0] = '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'}
local NUMBERS = {['0'] = 0, ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4, ['5'] = 5, ['6'] = 6, ['7'] = 7, ['8'] = 8, ['9'] = 9}

local function text_of(n)
  local text = TEXTS[n]
  if not text then
    text = format('%d', n)
    TEXTS[n] = text
  end
  return text
end

-- Nil for what is no number of a counter.
local function number(text)
  local n = NUMBERS[text]
  if not n and text then
    n = tonumber(text)
    if not n or not (n >= 0 and n < MOST) or n % 1 ~= 0 then return nil end
  end
  return n
end

-- What is damaged costs itself alone: an error after the first write would leave half of the batch.
local function read(key, command, ...)
  local answer = redis.pcall(command, key, ...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  c('UNLINK', key)
  return c(command, key, ...)
end

-- Only the process that sent it, and whoever adds batches up, need the names.
local rows, together, page_digests, event_digests, sets = ARGV[17], ARGV[18], ARGV[19], ARGV[20], tonumber(ARGV[21])
local ids, visitors = {}, #together / ID
for i = 1, visitors do ids[i] = sub(together, ID * i - ID + 1, ID * i) end

local function zeros(n)
  local list = {}
  for i = 1, n do list[i] = 0 end
  return list
end

-- Reads a state; nothing of one that is damaged.
local function parts_of(state)
  local a, b, d, e, f, g, h, i, j, k, space, n, bar = byte(state, 1, 13)
  -- As most are: ten digits and one.
  if bar == 124 and space == 32 and n >= 48 and n <= 57 then
    local stop = find(state, '|', 14, true)
    local before = ((((((((a * 10 + b) * 10 + d) * 10 + e) * 10 + f) * 10 + g) * 10 + h) * 10 + i) * 10 + j) * 10 + k
    -- 53333333328: what the codes of ten zeros come to.
    if stop then return before - 53333333328, n - 48, sub(state, 14, stop - 1), sub(state, stop + 1) end
  end
  local second, views, looked, did = match(state, '^(%d+) (%d+)|([^|]*)|(.*)$')
  return number(second), number(views) or 0, looked, did
end

-- Ids and states, and seconds and ids of visitors without state, as HSET and ZADD take them; second -> how many more
-- visitors have their last view in it; the last second; whether all visitors were unknown.
local states, states_at, present, present_at, moved, newest, all_new = {}, 0, {}, 0, {}, 0, true

-- `stateless`: visitors without room for their state, whose next view is counted as a new visit.
local free, taken, cursor, stateless = nil, nil, nil, 0
-- A look takes Redis 0.02 ms. Only a day most of whose visitors came in the last half hour would need more.
local looks_left, LOOK = 8, 32
-- Says whether there is room for one more state.
local function has_room(latest)
  free = free or MOST_STATES - c('HLEN', V)
  if free <= 0 and not taken then
    taken = {}
    for i = 1, visitors do taken[ids[i]] = true end
    -- A hashed visitor is random, and so is the place that the looks begin at.
    local a, b, d = byte(ids[1], 1, 3)
    cursor = text_of(((a * 256 + b) * 256 + d) % MOST_STATES)
  end
  while free <= 0 and looks_left > 0 do
    looks_left = looks_left - 1
    -- Some alone, because a look at every visit would hold up all other commands of Redis.
    local some = c('HSCAN', V, cursor, 'COUNT', LOOK)
    cursor, some = some[1], some[2]
    for k = 1, #some, 2 do
      local over = (number(match(some[k + 1], '^%d+')) or 0) < latest - VISIT_GAP
      if over and not taken[some[k]] then free = free + c('HDEL', V, some[k]) end
    end
  end
  free = free - 1
  if free < 0 then
    free, stateless = 0, stateless + 1
    return false
  end
  return true
end

-- Adds the digest of a name to a list of them, and one to the name's count if it was new.
local function with_name(list, name, digests, counts)
  local digest = sub(digests, DIGEST * (name - 1) + 1, DIGEST * name)
  if #list >= MOST_SEEN or find(list, digest, 1, true) then return list end
  counts[name] = counts[name] + 1
  return list .. digest
end

local function in_bytes(list)
  local parts = {}
  for first = 1, #list, FIELDS do
    parts[#parts + 1] = char(unpack(list, first, min(first + FIELDS - 1, #list)))
  end
  return table.concat(parts)
end

-- Works the visits out; returns what they make grow, as apply.lua answers it.
local function work_out()
  local pages, events = #page_digests / DIGEST, #event_digests / DIGEST
  local begun, entries, fresh, done = zeros(sets), zeros(pages), zeros(pages), zeros(events)
  local visited, engaged, seconds = 0, 0, 0
  -- All at once: no batch has more visitors than one of its commands has fields.
  local known = visitors > 0 and read(V, 'HMGET', unpack(ids)) or {}
  local ids, rows, states, moved, at, to, here = ids, rows, states, moved, 1, 0, 0
  for i = 1, visitors do
    local id = ids[i]
    local a, b, d, e, f, g, h, l, views, looks, acts, s, t, u, v, w, x, y, z = byte(rows, at, at + ROW + 1)
    local first, latest = ((a * 256 + b) * 256 + d) * 256 + e, ((f * 256 + g) * 256 + h) * 256 + l
    -- A visitor may come twice in one batch, with a pause between.
    local state = to > 0 and id == states[to - 1] and states[to] or known[i]
    local before, n, looked, did
    if state then
      all_new = false
      before, n, looked, did = parts_of(state)
      -- No state of the day is older.
      if before and (before > latest + DAY or before < latest - DAY) then before = nil end
    end
    if not before then n, looked, did = 0, '', '' end
    local counted = before
    if (not before or first > before + VISIT_GAP) and views > 0 then
      before, n, did = first, 0, ''
      visited = visited + 1
      local hour, origin, client, page = s * 256 + t, u * 256 + v, w * 256 + x, y * 256 + z
      entries[page] = entries[page] + 1
      begun[hour], begun[origin], begun[client] = begun[hour] + 1, begun[origin] + 1, begun[client] + 1
    end
    -- An event after the visit's end neither continues it nor begins one.
    if before and first <= before + VISIT_GAP then
      if n < 2 and n + views + acts >= 2 then engaged = engaged + 1 end
      n = n + views + acts
      -- Of more than nine nobody asks how many.
      if n > 9 then n = 9 end
      if latest > before then seconds = seconds + latest - before else latest = before end
      local text = TEXTS[latest] or text_of(latest)
      if latest > newest then newest = latest end
      for k = 0, looks + acts - 1 do
        if k > 0 then y, z = byte(rows, at + ROW + 2 * k, at + ROW + 2 * k + 1) end
        local name = y * 256 + z
        if k < looks then
          looked = with_name(looked, name, page_digests, fresh)
        else
          did = with_name(did, name, event_digests, done)
        end
      end
      if state or has_room(latest) then
        states[to + 1], states[to + 2] = id, text .. ' ' .. TEXTS[n] .. '|' .. looked .. '|' .. did
        to = to + 2
        moved[text] = (moved[text] or 0) + 1
        if counted and counted > latest - KEPT_SECONDS then
          -- As the state has it, which takes less than to write it again.
          local second = sub(state, 1, find(state, ' ', 1, true) - 1)
          moved[second] = (moved[second] or 0) - 1
        end
      else
        present[here + 1], present[here + 2] = text, id
        here = here + 2
      end
    end
    at = at + ROW + 2 * (looks + acts)
  end
  states_at, present_at = to, here
  return text_of(visited) .. ' ' .. text_of(engaged) .. ' ' .. text_of(seconds) .. ' ' ..
    in_bytes(begun) .. in_bytes(entries) .. in_bytes(fresh) .. in_bytes(done)
end

-- Writes fields and values in a few commands; of a field that comes twice the last value holds.
local function write(key, flat, size)
  for first = 1, size, 2 * FIELDS do c('HSET', key, unpack(flat, first, min(first + 2 * FIELDS - 1, size))) end
end

-- Counts visitors with a state in the seconds of their last views.
local function write_present()
  -- Of states that are evicted or over nobody knows in which second each visitor is counted.
  if all_new and c('EXISTS', V) == 0 then
    c('UNLINK', PRESENT)
    -- With a value of more than 64 bytes Redis finds fields by their hash, instead of searching some hundreds.
    c('HSET', PRESENT, '#', string.rep('#', 65))
  end
  local fields, more, flat, n = {}, {}, {}, 0
  for second, change in pairs(moved) do
    if change ~= 0 then
      n = n + 1
      fields[n], more[n] = second, change
    end
  end
  if n == 0 then return end
  local held = read(PRESENT, 'HMGET', unpack(fields))
  for i = 1, n do
    local visitors = (NUMBERS[held[i]] or number(held[i]) or 0) + more[i]
    -- Less than none are of seconds that Redis has lost.
    if visitors < 0 then visitors = 0 end
    flat[2 * i - 1], flat[2 * i] = fields[i], TEXTS[visitors] or text_of(visitors)
  end
  write(PRESENT, flat, 2 * n)
end

local function forget_seconds()
  if read(PRESENT, 'HLEN') <= MOST_SECONDS then return end
  local old = {}
  for _, second in ipairs(c('HKEYS', PRESENT)) do
    if (number(second) or 0) <= newest - KEPT_SECONDS then old[#old + 1] = second end
  end
  for first = 1, #old, FIELDS do c('HDEL', PRESENT, unpack(old, first, min(first + FIELDS - 1, #old))) end
end

-- Visitors without a state stand in a sorted set, until they have one.
local function write_stateless()
  for first = 1, present_at, 2 * FIELDS do
    read(NOW, 'ZADD', 'GT', unpack(present, first, min(first + 2 * FIELDS - 1, present_at)))
  end
  if c('EXISTS', NOW) == 0 then return end
  local known = {}
  for i = 1, states_at, 2 do known[#known + 1] = states[i] end
  for first = 1, #known, FIELDS do read(NOW, 'ZREM', unpack(known, first, min(first + FIELDS - 1, #known))) end
  if present_at == 0 then return end
  c('EXPIRE', NOW, KEPT_SECONDS)
  -- In steps, more than batches add meanwhile: a million at once would take Redis most of a second.
  local old = c('ZCOUNT', NOW, '-inf', newest - KEPT_SECONDS)
  old = min(math.max(old, c('ZCARD', NOW) - MOST_STATES), math.max(NOW_STEP, present_at))
  if old > 0 then c('ZREMRANGEBYRANK', NOW, 0, old - 1) end
end

-- `tidy`: prolong the keys' time, and forget old seconds. Not with each batch: it takes as long as ten visits.
local function write_visits(tidy)
  write_present()
  write(V, states, states_at)
  write_stateless()
  -- With an unknown visitor alone the keys may be new, and without a time of their own.
  if not (tidy or all_new) then return end
  -- The same for both, as each is of use with the other alone.
  c('EXPIRE', V, STATE_SECONDS)
  c('EXPIRE', PRESENT, STATE_SECONDS)
  forget_seconds()
end
