-- Gives a day its salt, once.
-- KEYS salt   ARGV proposed ttl
if type(redis.pcall('GET', KEYS[1])) == 'table' then redis.call('UNLINK', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
return redis.call('GET', KEYS[1])
