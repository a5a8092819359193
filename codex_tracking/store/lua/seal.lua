-- Freezes a day's counters since the last seal, and begins a new part.
-- KEYS live sealed batches sealed-batches log sealed-log   ARGV new-id
-- Answers {status, generation, id, previous id}: NEW, OLD (a seal is waiting), IDLE (nothing new, the last seal is not
-- known to be in the database) or NONE.
local L, S, c = KEYS[1], KEYS[2], redis.call
-- Fields of one command.
local FIELDS = 500
-- A damaged hash would keep the day from being flushed; processes find it gone and write their batches themselves.
for _, key in ipairs({L, S}) do
  if type(redis.pcall('HLEN', key)) == 'table' then c('UNLINK', key) end
end
if c('EXISTS', S) == 1 then
  local h = c('HMGET', S, '#g', '#id', '#p')
  if h[1] and string.match(h[1], '^%x+$') and h[2] and h[3] then return {'OLD', h[1], h[2], h[3]} end
  c('UNLINK', S)
end
local h = c('HMGET', L, '#g', '#n', '#p', '#f', '#k', '#s')
if not h[1] then return {'NONE'} end
local sound = string.match(h[1], '^%x+$') and tonumber(h[2]) and h[3] and tonumber(h[4]) and tonumber(h[5])
-- The last numbers of all streams, in few commands: there may be a thousand streams.
local names, streams, found, at = h[6] or '', {}, 0, 1
-- Without a pattern, which takes three times as long.
local stop = string.find(names, ' ', at, true)
while stop do
  found = found + 1
  streams[found] = '#w:' .. string.sub(names, at, stop - 1)
  at = stop + 1
  stop = string.find(names, ' ', at, true)
end
local lasts, size, numbers, known = {}, 0, {}, 0
for first = 1, found, FIELDS do
  local some = c('HMGET', L, unpack(streams, first, math.min(first + FIELDS - 1, found)))
  for i = 1, #some do
    local last = some[i]
    if last then
      sound = sound and last ~= ''
      known = known + 1
      lasts[size + 1], lasts[size + 2], numbers[known] = streams[first + i - 1], last, last
      size = size + 2
    end
  end
end
-- All at once: tonumber takes twice as long as the read of a field.
sound = sound and not string.find(table.concat(numbers), '%D')
if not sound then
  c('UNLINK', L)
  return {'NONE'}
end
if h[5] == '0' then
  return {(tonumber(h[4]) == h[2] - 1) and 'NONE' or 'IDLE', h[1], h[3], ''}
end
-- Takes the same time for ten counters and for a million, and no push comes in between.
c('RENAME', L, S)
-- With its lists; the header tells how much of them Redis has lost. A log whose counters it lost is left out.
local function follow(from, to)
  if c('EXISTS', from) == 1 then c('RENAME', from, to) else c('UNLINK', to) end
end
follow(KEYS[3], KEYS[4])
if c('HEXISTS', S, '#b') == 0 then c('UNLINK', KEYS[5]) end
follow(KEYS[5], KEYS[6])
c('HSET', S, '#id', ARGV[1])
c('HSET', L, '#g', h[1], '#n', h[2] + 1, '#p', ARGV[1], '#f', h[4], '#k', 0, '#s', h[6] or '')
-- Without them every next batch would look like a gap.
for first = 1, size, 2 * FIELDS do
  c('HSET', L, unpack(lasts, first, math.min(first + 2 * FIELDS - 1, size)))
end
return {'NEW', h[1], ARGV[1], h[3]}
