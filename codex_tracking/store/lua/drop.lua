-- Deletes a closed or broken generation.
-- KEYS live sealed   ARGV generation
for i = 1, 2 do
  -- Another generation may have begun meanwhile, whose counters are good.
  if redis.call('HGET', KEYS[i], '#g') == ARGV[1] then redis.call('UNLINK', KEYS[i]) end
end
return 1
