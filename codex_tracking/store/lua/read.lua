-- Reads one day at one moment: its unflushed counters, and its visitors if their key is given.
-- KEYS live sealed [uniques now]  ARGV second, from which on visitors are online, [field ...]
-- Answers fields and values of both hashes (or the values of the fields that are named), sketch, visitors, those online.
-- For clusters, and where Redis refuses transactions: an answer through Lua takes six times as long as theirs.
local function fields_of(key)
    local fields = ARGV[2] and redis.pcall('HMGET', key, unpack(ARGV, 2)) or redis.pcall('HGETALL', key)
    -- Another type of value; the next push deletes it.
    return fields.err and {} or fields
end
local answer = {fields_of(KEYS[1]), fields_of(KEYS[2]), false, 0, 0}
if KEYS[3] then
    local sketch = redis.pcall('GET', KEYS[3])
    local count = redis.pcall('PFCOUNT', KEYS[3])
    local online = redis.pcall('ZCOUNT', KEYS[4], ARGV[1], '+inf')
    -- A corrupt sketch has no count; the merge refuses it.
    answer[3] = type(sketch) == 'string' and sketch
    answer[4] = type(count) == 'number' and count or 0
    answer[5] = type(online) == 'number' and online or 0
end
return answer
