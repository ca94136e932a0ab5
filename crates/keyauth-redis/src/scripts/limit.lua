-- Decides over all limits of a request in one step, and counts it if it is within all of them.
-- KEYS: whatever the limits count in. ARGV: "take" or "look"; the name of the request's places at
-- once, and how long they are kept without a renewal; then eleven for each limit: kind, which key,
-- field, count, cost, four numbers of the kind, what a calendar's count begins with where it is not
-- there, and in which period.
-- Times are microseconds since 1970. All is read and judged before anything is written.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local taking, place, lease = ARGV[1] == 'take', ARGV[2], tonumber(ARGV[3])
local PARTS = 20
local NEVER = -2

-- How much is counted in the parts of a window, the oldest in full.
local function rolling(limit, stored)
    local width, counts = limit[1], {}
    local current = math.floor(now / width)
    local newest = current
    if stored then
        local values = { struct.unpack('>' .. string.rep('d', PARTS + 2), stored) }
        newest = values[1]
        for at = 0, PARTS do counts[at] = values[at + 2] end
    else
        for at = 0, PARTS do counts[at] = 0 end
    end
    local total = 0
    if newest > current and newest - current <= PARTS then
        -- The clock has gone back, by a window at most: time stands still until it is back.
        current = newest
    elseif newest > current then
        -- Or further: what was counted counts as of now.
        for at = 0, PARTS do total, counts[at] = total + counts[at], 0 end
        counts[current % (PARTS + 1)] = total
        total, limit.jumped = 0, true
    else
        for part = math.max(newest + 1, current - PARTS), current do
            counts[part % (PARTS + 1)] = 0
        end
    end
    for at = 0, PARTS do total = total + counts[at] end
    local function until_free(wanted)
        local freed, last = 0, nil
        for part = current - PARTS, current do
            local count = counts[part % (PARTS + 1)]
            if count > 0 and freed < wanted then freed, last = freed + count, part end
        end
        return last and (last + PARTS + 1) * width - now or 0
    end
    limit.used, limit.remaining = total, math.max(limit.count - total, 0)
    limit.resets = until_free(1)
    if limit.count == 0 or limit.cost > limit.count then
        limit.wait = NEVER
    elseif total + limit.cost > limit.count then
        limit.wait = until_free(total + limit.cost - limit.count)
    end
    return function(cost)
        local at = current % (PARTS + 1)
        counts[at] = counts[at] + cost
        limit.used, limit.remaining = total + cost, math.max(limit.count - total - cost, 0)
        limit.resets = until_free(1)
        local ends = width * (PARTS + 2)
        return struct.pack('>' .. string.rep('d', PARTS + 2), current, counts[0], unpack(counts)), ends
    end
end

-- How far ahead of an even pace it is.
local function smooth(limit, stored)
    local interval, burst = limit[1], limit[2]
    local tolerance = burst * interval
    -- The pace and how far ahead of it one could be when it was stored: the limit may have been
    -- another one then, and as many go on counting.
    local arrived, furthest, before = 0, 0, interval
    if stored then arrived, furthest, before = struct.unpack('>ddd', stored) end
    -- Further than it could be: the clock has gone back.
    limit.jumped = arrived - now > furthest
    local ahead = math.min(math.max(arrived - now, 0), furthest)
    if before ~= interval then ahead = math.ceil(ahead / before * interval) end
    local function stand()
        limit.remaining = math.max(math.floor((tolerance - ahead) / interval), 0)
        limit.used = burst - limit.remaining
        limit.resets = ahead == 0 and 0 or ahead + (limit.remaining + 1) * interval - tolerance
    end
    stand()
    local after = ahead + limit.cost * interval
    if burst == 0 or limit.cost > burst then
        limit.wait = NEVER
    elseif after > tolerance then
        limit.wait = after - tolerance
    end
    return function(cost)
        ahead = ahead + cost * interval
        stand()
        return struct.pack('>ddd', now + ahead, math.max(tolerance, ahead), interval), ahead
    end
end

-- How much is counted in a day or month, of which the caller gives that before, this, and the next.
local function calendar(limit, stored)
    local first, last
    for at = 1, 3 do
        if limit[at] <= now and now < limit[at + 1] then first, last = limit[at], limit[at + 1] end
    end
    if not first then return nil end
    local used = 0
    if stored then
        local began, ended, count = struct.unpack('>ddd', stored)
        if began > first and began - now <= ended - began then
            -- The clock has gone back: no period before this one opens again.
            first, last, used = began, ended, count
        elseif began >= first then
            used, limit.jumped = count, began > first
        end
    elseif tonumber(redis.call('HGET', limit.key, '') or 0) >= first then
        -- It was reset in this period, whatever was used before.
        used = 0
    elseif limit.seed == '' or (limit.seeded ~= '' and tonumber(limit.seeded) ~= first) then
        limit.unseeded = true
    else
        -- Written also where nothing is counted, or it would be asked for with each call.
        used, limit.jumped = tonumber(limit.seed), true
    end
    limit.used, limit.remaining = used, math.max(limit.count - used, 0)
    limit.resets = used > 0 and last - now or 0
    if limit.count == 0 or used + limit.cost > limit.count then limit.wait = last - now end
    return function(cost)
        limit.used, limit.remaining = used + cost, math.max(limit.count - used - cost, 0)
        limit.resets = limit.used > 0 and last - now or 0
        -- A day longer than it counts, so that it is not taken for lost.
        return struct.pack('>ddd', first, last, limit.used), last - now + 86400000000
    end
end

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
for at = 4, #ARGV, 11 do
    local limit = {
        kind = ARGV[at], key = KEYS[tonumber(ARGV[at + 1])], field = ARGV[at + 2],
        count = tonumber(ARGV[at + 3]), cost = tonumber(ARGV[at + 4]), seed = ARGV[at + 9], seeded = ARGV[at + 10],
        used = 0, remaining = 0, resets = 0, wait = -1,
    }
    for number = 1, 4 do limit[number] = tonumber(ARGV[at + 4 + number]) end
    if limit.kind == 'at_once' then
        limit.take = at_once(limit, limit.key)
    else
        local stored = redis.call('HGET', limit.key, limit.field) or nil
        local kinds = { rolling = rolling, smooth = smooth, calendar = calendar }
        limit.take = kinds[limit.kind](limit, stored)
    end
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
        if stored then
            redis.call('HSET', limit.key, limit.field, stored)
            -- A minute longer than it counts, for clocks that are set back a little.
            ends = math.ceil(ends / 1000) + 60000
            if redis.call('PTTL', limit.key) < ends then
                redis.call('PEXPIRE', limit.key, string.format('%.0f', ends))
            end
        end
    end
end

local answer = { string.format('%.0f %d', now, verdict) }
for _, limit in ipairs(limits) do
    answer[#answer + 1] = string.format('%.0f %.0f %.0f %.0f %d', limit.used, limit.remaining,
        math.ceil(limit.resets), math.ceil(limit.wait), limit.unseeded and 1 or 0)
end
return table.concat(answer, ' ')
