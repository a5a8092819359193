-- Reads all that no flush has written yet, both parts at one moment.
-- KEYS live sealed
return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
