-- Reads a piece of one seal, and the number of its fields; false when the key has another seal.
-- KEYS sealed   ARGV id cursor count
-- A slow flush would mix two seals: another flusher may have written this one and frozen the next.
if redis.call('HGET', KEYS[1], '#id') ~= ARGV[1] then return false end
local piece = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
return {piece[1], piece[2], redis.call('HLEN', KEYS[1])}
