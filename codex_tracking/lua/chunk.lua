-- Reads a piece of one seal; false when another one is there.
-- KEYS sealed   ARGV id cursor count
if redis.call('HGET', KEYS[1], '#id') ~= ARGV[1] then return false end
return redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
