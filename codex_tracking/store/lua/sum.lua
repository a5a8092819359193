-- Puts the sums of a live part's first batches in their place.
-- KEYS live batches   ARGV generation, seal number, sums before, batches, entries of the new ones ...
-- Answers 1; 0 when the part is another one by now.
local L, B, c = KEYS[1], KEYS[2], redis.call
-- Entries of the list for each batch.
local ENTRIES = 4
local h, replaced = c('HMGET', L, '#g', '#n', '#r', '#k'), tonumber(ARGV[4])
if h[1] ~= ARGV[1] or h[2] ~= ARGV[2] or (h[3] or '0') ~= ARGV[3] then return 0 end
if c('LLEN', B) ~= ENTRIES * h[4] or replaced > tonumber(h[4]) then return 0 end
c('LTRIM', B, ENTRIES * replaced, -1)
for at = #ARGV, 5, -1 do c('LPUSH', B, ARGV[at]) end
c('HSET', L, '#k', h[4] - replaced + (#ARGV - 4) / ENTRIES, '#r', h[3] and h[3] + 1 or 1)
return 1
