-- Reads a piece of one seal, and how many fields all of it has; false when another one is there.
-- KEYS sealed   ARGV id cursor count
if redis.call('HGET', KEYS[1], '#id') ~= ARGV[1] then return false end
local piece = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
return {piece[1], piece[2], redis.call('HLEN', KEYS[1])}
