-- Takes ahead of what limits have, as much as is there of what is wanted, and gives back what was
-- taken so and not used; each limit by itself. KEYS[1]: the caller's last turn and what he was
-- told; then whatever the limits count in. ARGV: the turn, and "again" where it was sent before;
-- then each limit, its cost being what is wanted, and for what is given back the part or period it
-- is of, when that count was begun, and how much.
local limits = {}
for at = 3, #ARGV, LENGTH + 3 do
    local limit = limit_at(at)
    if limit.kind == 'calendar' and not period(limit) then return string.format('%.0f 2', now) end
    limit.back = {
        of = tonumber(ARGV[at + LENGTH]), made = tonumber(ARGV[at + LENGTH + 1]),
        amount = tonumber(ARGV[at + LENGTH + 2]),
    }
    limits[#limits + 1] = limit
end
local turn, MEMORY = tonumber(ARGV[1]), 660000
local before = redis.call('GET', KEYS[1])
if not before and ARGV[2] == 'again' then
    -- Nobody knows any more whether it was done.
    return string.format('%.0f 1', now)
end
local last, said = string.match(before or '0 ', '^(%d+) (.*)$')
if tonumber(last) >= turn then
    -- Sent again, by whoever saw no answer: it counts once, and the answer is the same.
    return tonumber(last) == turn and said ~= '' and said or string.format('%.0f 1', now)
end
-- First, so that what fails halfway is not done once more.
redis.call('SET', KEYS[1], ARGV[1] .. ' ', 'PX', MEMORY)

local answer = { string.format('%.0f 0', now) }
local function lease(limit)
    local wanted, granted = limit.cost, 0
    limit.cost = 0
    local take = read(limit)
    -- Not before somebody has said what a day that is not there begins with.
    if not limit.unseeded then
        granted = math.min(wanted, limit.remaining)
        if granted > 0 or limit.back.amount > 0 then write(limit, take(granted)) end
    end
    return string.format('%.0f %.0f %.0f %.0f %.0f %.0f', granted, limit.good, limit.of, limit.made,
        limit.remaining, math.ceil(limit.resets))
end
for _, limit in ipairs(limits) do
    -- What is wrong with one count, as where somebody else has written there, keeps no other.
    local done, told = pcall(lease, limit)
    answer[#answer + 1] = done and told or '0 0 0 0 0 0'
end
local all = table.concat(answer, ' ')
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. all, 'PX', MEMORY)
return all
