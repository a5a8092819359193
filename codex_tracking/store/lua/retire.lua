-- Deletes a day that holds nothing unflushed.
-- KEYS live sealed uniques visits now present batches sealed-batches log sealed-log
local held = redis.call('HGET', KEYS[1], '#k')
-- In one script: a batch that comes between a look and the deletion would be lost.
if redis.call('EXISTS', KEYS[2]) == 0 and (held == '0' or not held) then
  local gone = redis.call('UNLINK', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
  return gone + redis.call('UNLINK', KEYS[7], KEYS[8], KEYS[9], KEYS[10])
end
return 0
