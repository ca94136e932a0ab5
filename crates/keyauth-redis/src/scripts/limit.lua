-- Decides over all limits of a request in one step, and counts it if it is within all of them.
-- KEYS: whatever the limits count in. ARGV: "take" or "look"; the name of the request's places at
-- once, and how long they are kept without a renewal; then each limit. All is read and judged
-- before anything is counted.
local taking, place, lease = ARGV[1] == 'take', ARGV[2], tonumber(ARGV[3])

-- How many are under way: each has a place until it is given back, or no longer renewed.
local function at_once(limit, key)
    if taking then
        -- None is further ahead than a lease, unless the clock has gone back.
        local latest = string.format('%.0f', now + lease)
        for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf')) do
            redis.call('ZADD', key, latest, ahead)
        end
    end
    local used = redis.call('ZCOUNT', key, '(' .. string.format('%.0f', now), '+inf')
    -- The call's own place, where it is asked for a second time.
    if redis.call('ZSCORE', key, place) then used = used - 1 end
    limit.used, limit.remaining = used, math.max(limit.count - used, 0)
    limit.resets = used > 0 and 1000000 or 0
    if used >= limit.count then limit.wait = 1000000 end
    return function()
        redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
        redis.call('ZADD', key, string.format('%.0f', now + lease), place)
        redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(lease / 1000) * 2))
        limit.used, limit.remaining, limit.resets = used + 1, limit.count - used - 1, 1000000
    end
end

local limits, refused, unseeded, wrong = {}, false, false, false
for at = 4, #ARGV, LENGTH do
    local limit = limit_at(at)
    limit.take = limit.kind == 'at_once' and at_once(limit, limit.key) or read(limit)
    -- Where the caller's clock is wrong by more than a period.
    wrong = wrong or not limit.take
    -- Whatever it begins with would only add to it.
    refused = refused or limit.wait ~= -1
    unseeded = unseeded or limit.unseeded
    limits[#limits + 1] = limit
end
local verdict = wrong and 3 or refused and 1 or unseeded and 2 or 0

for _, limit in ipairs(limits) do
    -- What a jump of the clock has moved is written also where nothing is counted, or it would be
    -- moved again and again.
    if taking and (verdict == 0 or verdict == 1 and limit.jumped) then
        local stored, ends = limit.take(verdict == 0 and limit.cost or 0)
        if stored then write(limit, stored, ends) end
    end
end

local answer = { string.format('%.0f %d', now, verdict) }
for _, limit in ipairs(limits) do
    answer[#answer + 1] = string.format('%.0f %.0f %.0f %.0f %d', limit.used, limit.remaining,
        math.ceil(limit.resets), math.ceil(limit.wait), limit.unseeded and 1 or 0)
end
return table.concat(answer, ' ')
