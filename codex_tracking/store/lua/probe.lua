-- Tries the commands that the other scripts use, on keys that hold nothing else, and leaves nothing.
-- KEYS hash, renamed, sketch, sorted set, string list
-- Answers the first error, such as OOM or NOPERM.
local H, R, U, Z, S, B = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local failure
-- In this order: Redis checks its memory only until a script's first write, and a deletion is one.
local commands = {
  {'SET', S, '1', 'NX', 'EX', '10'}, {'GET', S},
  {'HSET', H, '#g', 'probe', '#o', '1'}, {'HMGET', H, '#g', '#o'},
  {'HEXISTS', H, '#g'}, {'HLEN', H}, {'HGETALL', H}, {'HKEYS', H}, {'HDEL', H, '#o'}, {'RENAME', H, R},
  {'EXISTS', R}, {'HSCAN', R, '0', 'COUNT', '10'},
  {'PFADD', U, 'a'}, {'PFCOUNT', U}, {'EXPIRE', U, '10'},
  {'ZADD', Z, 'GT', '1', 'a'}, {'ZCARD', Z}, {'ZCOUNT', Z, '-inf', '+inf'}, {'ZREMRANGEBYRANK', Z, '0', '0'},
  {'ZREM', Z, 'a'},
  {'RPUSH', B, 'a'}, {'LPUSH', B, 'a'}, {'LLEN', B}, {'LRANGE', B, '0', '0'}, {'LTRIM', B, '1', '-1'},
  {'UNLINK', H, R, U, Z, S, B},
}
for _, command in ipairs(commands) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err and not failure then failure = answer end
end
return failure or 1
