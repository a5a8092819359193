-- Adds one batch to a day, once. The second part of one script, after visits.lua.
-- KEYS live uniques visits now present batches [log]
-- ARGV 1 stream, 2 seq, 3 generation, 4 proposed generation, 5 oldest, 6 visit cap, 7 ttl, 8 dense, 9 visit gap,
--      10 now seconds, 11 names per visitor, 12 skipped prefixes that no path begins with, 13 views among the counters,
--      14 and 15 names and numbers of counters, 16 names of visits, 17 rows of visits, 18 visitors, 19 digests of pages,
--      20 digests of events, 21 number of sets, [22 blob of the visit log, 23 its hits, 24 most bytes of the log,]
--      visitor without visits ...
-- Answers {status, generation, seal number, durable seal number, grown}: OK, DUP (was applied), GAP (Redis was rolled
-- back) or GEN (another generation). After OK, grown tells what the visits made grow: visits, engaged visits and
-- seconds, and a byte for each set, entry page, page and event: how often it is added; empty without visits.
-- Nobody adds counters up here, where all processes wait: the batches wait in a list for flushes and readers to do so.
local L, U, B, LOG = KEYS[1], KEYS[2], KEYS[6], KEYS[7]
-- Entries of the list for each batch: names and numbers of counters, names of visits, and what these made grow.
local ENTRIES = 4
-- Batches of a stream between two that tidy up.
local TIDY = 4

if LOG then read(LOG, 'LLEN') end
local HEADER = {'#g', '#n', '#f', '#k', '#w:' .. ARGV[1], '#o', '#v', '#b', '#bytes', '#x'}
local h, entries = read(L, 'HMGET', unpack(HEADER)), read(B, 'LLEN')
local g, held = h[1], tonumber(h[4])
local sound = g and match(g, '^%x+$') and tonumber(h[2]) and tonumber(h[3]) and tonumber(h[5] or '0')
-- Redis may evict the list alone. Without the header nobody knows what of it is in the database. In both cases processes
-- write their batches there themselves.
if g and not (sound and held and entries == ENTRIES * held) then
  c('UNLINK', L)
  g, h = false, {}
end
if not g then
  g = ARGV[4]
  c('HSET', L, '#g', g, '#n', 1, '#f', 0, '#k', 0, '#p', '', '#s', '')
  c('UNLINK', B)
end
-- A batch that is repeated must not enter another generation: its process may have settled the earlier one.
if g ~= ARGV[3] then return {'GEN', g, 0, 0, ''} end
local seq, last = tonumber(ARGV[2]), tonumber(h[5] or '0')
-- With nothing live, what was applied is in an earlier seal.
if seq <= last then return {'DUP', g, h[2] - (h[4] == '0' and 1 or 0), tonumber(h[3]), ''} end
-- A number that is missing was lost in a rollback, and only its process still has the batch.
if seq ~= last + 1 then return {'GAP', g, 0, 0, ''} end

local grown = visitors > 0 and work_out() or ''

-- --- writes ---

-- First, because a Redis without memory refuses a script's first write alone, and only one that needs memory.
c('RPUSH', B, ARGV[14], ARGV[15], ARGV[16], grown)
local header, at_end = {HEADER[5], ARGV[2], '#k', text_of(held + 1)}, 4

local function put(field, value)
  header[at_end + 1], header[at_end + 2] = field, value
  at_end = at_end + 2
end

-- Beside the batches stands how many hits the list should tell: it may be evicted alone.
local logged, log_bytes = false, number(h[9])
if LOG then
  local size, hits = (log_bytes or 0) + #ARGV[22], tonumber(ARGV[23])
  logged = size <= tonumber(ARGV[24])
  if logged then
    put('#b', text_of((number(h[8]) or 0) + hits))
    put('#bytes', text_of(size))
  else
    put('#log_dropped', text_of((number(c('HGET', L, '#log_dropped')) or 0) + hits))
  end
end
-- So that a day whose visits the log tells otherwise than the counters says why.
if stateless > 0 then
  put('#dropped_state', text_of((number(c('HGET', L, '#dropped_state')) or 0) + stateless))
end
-- The sum of views, so that the status need not add up all batches.
local views = tonumber(ARGV[13])
if views > 0 then
  put('#v', text_of((number(h[7]) or 0) + views))
  -- Then it is the sum of what is shown. Processes may differ while a change of the setting is rolled out.
  if not h[7] then put('#x', ARGV[12]) elseif h[10] ~= ARGV[12] then put('#x', '') end
end
if not h[6] then put('#o', ARGV[5]) end
if seq == 1 then put('#s', (c('HGET', L, '#s') or '') .. ARGV[1] .. ' ') end
write(L, header, at_end)
if logged then
  -- What is left there came with counters that Redis has lost.
  if not log_bytes then c('UNLINK', LOG) end
  c('RPUSH', LOG, ARGV[22])
end
if states_at + present_at > 0 then write_visits(seq % TIDY == 1) end

local function add_visitors(list, from)
  for at = from, #list, FIELDS do
    -- A dense sketch can be merged with the one in the database register by register.
    if ARGV[8] == '1' and c('EXISTS', U) == 0 then c('SET', U, 'HYLL' .. string.rep('\0', 12300)) end
    -- A corrupt sketch must not end the script half-way; what earlier flushes read of it is in the database.
    local answer = redis.pcall('PFADD', U, unpack(list, at, min(at + FIELDS - 1, #list)))
    if type(answer) == 'table' then
      c('UNLINK', U)
      return add_visitors(list, at)
    end
  end
end
add_visitors(ids, 1)
add_visitors(ARGV, LOG and 25 or 22)
return {'OK', g, tonumber(h[2]), tonumber(h[3]), grown}
