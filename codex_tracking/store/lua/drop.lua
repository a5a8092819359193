-- Deletes a closed or broken generation.
-- KEYS live sealed batches sealed-batches log sealed-log   ARGV generation
for i = 1, 2 do
  -- Another generation may have begun meanwhile, whose counters are good.
  if redis.call('HGET', KEYS[i], '#g') == ARGV[1] then redis.call('UNLINK', KEYS[i], KEYS[i + 2], KEYS[i + 4]) end
end
return 1
