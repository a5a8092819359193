-- Reads a piece of the visit log of one seal; false when the key has another seal.
-- KEYS sealed sealed-log   ARGV id first last
if redis.call('HGET', KEYS[1], '#id') ~= ARGV[1] then return false end
local blobs = redis.pcall('LRANGE', KEYS[2], ARGV[2], ARGV[3])
-- Another type of value tells nothing; the header says how many hits are missing.
return blobs.err and {} or blobs
