-- Deletes a seal that is in the database, and marks it as durable for the processes that retain its batches.
-- KEYS live sealed sealed-batches sealed-log   ARGV id
local L, S, c = KEYS[1], KEYS[2], redis.call
if c('HGET', S, '#id') == ARGV[1] then c('UNLINK', S, KEYS[3], KEYS[4]) end
local number = tonumber(c('HGET', L, '#n') or '')
-- A late answer about an older seal would free batches that the database does not have.
if number and c('HGET', L, '#p') == ARGV[1] then c('HSET', L, '#f', number - 1) end
return 1
