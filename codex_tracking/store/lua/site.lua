-- Notes which site uses the prefix, and returns the one that was noted before.
-- KEYS site   ARGV site ttl
redis.call('SET', KEYS[1], ARGV[1], 'NX')
local known = redis.call('GET', KEYS[1])
-- Another site's look must not prolong the name of one that has moved away.
if known == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return known
