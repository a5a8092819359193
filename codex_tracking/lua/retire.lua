-- Forgets a day that holds nothing unflushed.
-- KEYS live sealed uniques visits now
if redis.call('EXISTS', KEYS[2]) == 0 and redis.call('HGET', KEYS[1], '#k') == '0' then
  return redis.call('UNLINK', KEYS[1], KEYS[3], KEYS[4], KEYS[5])
end
return 0
