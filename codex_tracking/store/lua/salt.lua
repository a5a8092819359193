-- Gives a day its salt, once.
-- KEYS salt   ARGV proposed ttl
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
return redis.call('GET', KEYS[1])
