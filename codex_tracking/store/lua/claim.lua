-- Decides about claims of a day's pages, each once.
-- KEYS claims   ARGV 1 asker, 2 number of the question, 3 ttl, 4 most claims of a page, 5 most claims of the day,
--      then of each claim: page, name, 1 if it may be the page's first load
-- Answers one letter for each claim: f (the page's first load), n (another claim), d (a claim that is known), x (its
-- page has too many), o (the day has too many). The same question gets the same answer, and changes nothing.
-- Fields: '#<asker>' its last question and answer; '#n' claims held; 'p<..>' pages, as '|page:first count'; 'c<..>'
-- names of claims. Two letters spread each over 4,096 fields, since a field of its own takes five times the memory.
local C, c = KEYS[1], redis.call
if type(redis.pcall('HLEN', C)) == 'table' then c('UNLINK', C) end

local asker = '#' .. ARGV[1]
local number, known = string.match(c('HGET', C, asker) or '', '^(%d+) (%a*)$')
if number == ARGV[2] then return known end

local held, most = tonumber(c('HGET', C, '#n') or '') or 0, tonumber(ARGV[5])

-- Says whether a page's record takes a claim, and notes it.
local function note(page, may_be_first)
  local field = 'p' .. string.sub(page, -2)
  local pages, label = c('HGET', C, field) or '', '|' .. page .. ':'
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
  c('HSET', C, field, pages .. label .. first .. ' ' .. (count + 1))
  return letter
end

local function decide(page, name, may_be_first)
  local field = 'c' .. string.sub(name, -2)
  local names = c('HGET', C, field) or ''
  if string.find(names, '|' .. name, 1, true) then return 'd' end
  if held >= most then return 'o' end
  local letter = 'n'
  if page ~= '' then letter = note(page, may_be_first) end
  if letter ~= 'x' then
    c('HSET', C, field, names .. '|' .. name)
    held = held + 1
  end
  return letter
end

local answer = ''
for i = 6, #ARGV, 3 do answer = answer .. decide(ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1') end
c('HSET', C, asker, ARGV[2] .. ' ' .. answer, '#n', held)
-- Longer than any page of it may be claimed.
c('EXPIRE', C, ARGV[3])
return answer
