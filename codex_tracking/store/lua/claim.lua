-- Decides about claims of a day's pages, each once.
-- KEYS claims   ARGV 1 asker, 2 number of the question, 3 ttl, 4 most claims of a page, 5 most claims of the day,
--      then of each claim: page, name, 1 if it may be the page's first load
-- Answers one letter for each claim: f (the page's first load), n (another claim), d (a claim that is known), x (its
-- page has too many), o (the day has too many). The same question gets the same answer, and changes nothing.
-- Fields: '#<asker>' its last question and answer; '#n' claims held; 'p<..>' pages, as '|page:first count'; 'c<..>'
-- names of claims. Three letters spread each over 65,536 fields: with a field of its own each would take several times
-- the memory, and with fewer fields Redis takes longer to search and copy them.
local C, c = KEYS[1], redis.call
if type(redis.pcall('HLEN', C)) == 'table' then c('UNLINK', C) end

local asker = '#' .. ARGV[1]
local number, known = string.match(c('HGET', C, asker) or '', '^(%d+) (%a*)$')
if number == ARGV[2] then return known end

-- All at once, since a command takes Redis five times as long as a field. A question has 100 claims at most.
local fields, values, seen = {'#n'}, {}, {}
local function want(field)
  if not seen[field] then
    fields[#fields + 1] = field
    seen[field] = true
  end
end
for i = 6, #ARGV, 3 do
  if ARGV[i] ~= '' then want('p' .. string.sub(ARGV[i], -3)) end
  want('c' .. string.sub(ARGV[i + 1], -3))
end
for i, value in ipairs(c('HMGET', C, unpack(fields))) do values[fields[i]] = value or '' end
local held, most = tonumber(values['#n']) or 0, tonumber(ARGV[5])

-- Says whether a page's record takes a claim, and notes it.
local function note(page, may_be_first)
  local field = 'p' .. string.sub(page, -3)
  local pages, label = values[field], '|' .. page .. ':'
  local begin, stop = string.find(pages, label, 1, true)
  local first, count = '0', 0
  if begin then
    local rest = string.match(pages, '^%d %d+', stop + 1) or ''
    first, count = string.sub(rest, 1, 1), tonumber(string.sub(rest, 3)) or 0
    pages = string.sub(pages, 1, begin - 1) .. string.sub(pages, stop + 1 + #rest)
  end
  if count >= tonumber(ARGV[4]) then return 'x' end
  local letter = 'n'
  if may_be_first and first ~= '1' then first, letter = '1', 'f' end
  values[field] = pages .. label .. first .. ' ' .. (count + 1)
  return letter
end

local function decide(page, name, may_be_first)
  local field = 'c' .. string.sub(name, -3)
  local names = values[field]
  if string.find(names, '|' .. name, 1, true) then return 'd' end
  if held >= most then return 'o' end
  local letter = 'n'
  if page ~= '' then letter = note(page, may_be_first) end
  if letter ~= 'x' then
    values[field] = names .. '|' .. name
    held = held + 1
  end
  return letter
end

local letters = {}
for i = 6, #ARGV, 3 do letters[#letters + 1] = decide(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1') end
local answer = table.concat(letters)
values['#n'], values[asker] = held, ARGV[2] .. ' ' .. answer
local flat = {}
for field, value in pairs(values) do
  if value ~= '' then flat[#flat + 1], flat[#flat + 2] = field, value end
end
c('HSET', C, unpack(flat))
-- Longer than any page of it may be claimed.
c('EXPIRE', C, ARGV[3])
return answer
