-- Decides about claims of a day's pages, each once.
-- KEYS claims   ARGV 1 asker, 2 number of the question, 3 ttl, 4 most claims of a page, 5 most claims of the day,
--      then of each claim: page, name, 1 if it may be the page's first load
-- Answers one letter for each claim: f (the page's first load), n (another claim), d (a claim that is known), x (its
-- page has too many), o (the day has too many). The same question gets the same answer, and changes nothing.
-- Fields: '#<asker>' its last question and answer; '#n' claims held; 'p<..>' pages, as '|page:first count'; 'c<..>'
-- names of claims. Three letters spread each over 65,536 fields: with a field of its own each would take several times
-- the memory, and with fewer fields Redis takes longer to search and copy them.
local C, c, find, match, sub = KEYS[1], redis.call, string.find, string.match, string.sub
local MOST_PER_PAGE = tonumber(ARGV[4])
if type(redis.pcall('HLEN', C)) == 'table' then c('UNLINK', C) end

local asker = '#' .. ARGV[1]
local number, known = match(c('HGET', C, asker) or '', '^(%d+) (%a*)$')
if number == ARGV[2] then return known end

-- All at once, since a command takes Redis five times as long as a field. A question has some dozens of claims.
local fields, wanted, values = {'#n'}, 1, {}
local function want(field)
  if not values[field] then
    wanted = wanted + 1
    fields[wanted], values[field] = field, ''
  end
  return field
end
local of_page, of_name = {}, {}
for i = 6, #ARGV, 3 do
  if ARGV[i] ~= '' then of_page[i] = want('p' .. sub(ARGV[i], -3)) end
  of_name[i] = want('c' .. sub(ARGV[i + 1], -3))
end
for i, value in ipairs(c('HMGET', C, unpack(fields))) do values[fields[i]] = value or '' end
local held, most = tonumber(values['#n']) or 0, tonumber(ARGV[5])

-- Says whether a page's record takes a claim, and notes it.
local function note(field, page, may_be_first)
  local pages, label = values[field], '|' .. page .. ':'
  local begin, stop = find(pages, label, 1, true)
  local first, count = '0', 0
  if begin then
    local known, n = match(pages, '^(%d) (%d+)', stop + 1)
    local rest = stop + 1
    -- A sum makes a number of digits in a third of the time that tonumber takes.
    if known then first, count, rest = known, n + 0, stop + 3 + #n end
    pages = sub(pages, 1, begin - 1) .. sub(pages, rest)
  end
  if count >= MOST_PER_PAGE then return 'x' end
  local letter = 'n'
  if may_be_first and first ~= '1' then first, letter = '1', 'f' end
  -- Joined with a text, a number takes three times as long as this.
  values[field] = pages .. label .. first .. ' ' .. string.format('%d', count + 1)
  return letter
end

local function decide(i)
  local page, name = ARGV[i], '|' .. ARGV[i + 1]
  local names = values[of_name[i]]
  if find(names, name, 1, true) then return 'd' end
  if held >= most then return 'o' end
  local letter = 'n'
  if page ~= '' then letter = note(of_page[i], page, ARGV[i + 2] == '1') end
  if letter ~= 'x' then
    values[of_name[i]] = names .. name
    held = held + 1
  end
  return letter
end

local letters, n = {}, 0
for i = 6, #ARGV, 3 do
  n = n + 1
  letters[n] = decide(i)
end
local answer = table.concat(letters)
values['#n'], values[asker] = held, ARGV[2] .. ' ' .. answer
local flat, at = {}, 0
for field, value in pairs(values) do
  if value ~= '' then
    flat[at + 1], flat[at + 2] = field, value
    at = at + 2
  end
end
c('HSET', C, unpack(flat))
-- Longer than any page of it may be claimed.
c('EXPIRE', C, ARGV[3])
return answer
