-- How limits count, for the scripts that follow. Times are microseconds since 1970.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local PARTS = 20
local NEVER = -2

-- A limit of the question: kind, which key, field, count, cost, four numbers of the kind, what a
-- calendar's count begins with where it is not there, and in which period.
local LENGTH = 11
local function limit_at(at)
    local limit = {
        kind = ARGV[at], key = KEYS[tonumber(ARGV[at + 1])], field = ARGV[at + 2],
        count = tonumber(ARGV[at + 3]), cost = tonumber(ARGV[at + 4]), seed = ARGV[at + 9], seeded = ARGV[at + 10],
        used = 0, remaining = 0, resets = 0, wait = -1,
    }
    for number = 1, 4 do limit[number] = tonumber(ARGV[at + 4 + number]) end
    return limit
end

-- What is there of what was taken ahead and not used: that much, where it still counts as what it
-- was taken from, in the part or period of then, and not in a count that was begun anew since.
local function unused(limit, of, made)
    local back = limit.back
    return back and back.of == of and back.made == made and back.amount or 0
end

-- How much is counted in the parts of a window, the oldest in full.
local function rolling(limit, stored)
    local width, counts = limit[1], {}
    local current = math.floor(now / width)
    local newest, made = current, now
    if stored then
        local values = { struct.unpack('>' .. string.rep('d', PARTS + 3), stored) }
        newest, made = values[1], values[2]
        for at = 0, PARTS do counts[at] = values[at + 3] end
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
        total, limit.jumped, made = 0, true, now
    else
        for part = math.max(newest + 1, current - PARTS), current do
            counts[part % (PARTS + 1)] = 0
        end
    end
    for part = current - PARTS, current do
        local at = part % (PARTS + 1)
        counts[at] = math.max(counts[at] - unused(limit, part, made), 0)
        total = total + counts[at]
    end
    limit.of, limit.made, limit.good = current, made, math.min((current + 1) * width - now, width)
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
        local shape = '>' .. string.rep('d', PARTS + 3)
        return struct.pack(shape, current, made, counts[0], unpack(counts)), ends
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

-- The day or month of now, of which the caller gives that before, this, and the next; none where
-- his clock is wrong by more than that.
local function period(limit)
    for at = 1, 3 do
        if limit[at] <= now and now < limit[at + 1] then return limit[at], limit[at + 1] end
    end
end

-- How much is counted in a day or month.
local function calendar(limit, stored)
    local first, last = period(limit)
    if not first then return nil end
    local used, made = 0, now
    if stored then
        local began, ended, before, count = struct.unpack('>dddd', stored)
        if began > first and began - now <= ended - began then
            -- The clock has gone back: no period before this one opens again.
            first, last, used, made = began, ended, count, before
        elseif began > first then
            used, limit.jumped = count, true
        elseif began == first then
            used, made = count, before
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
    used = math.max(used - unused(limit, first, made), 0)
    limit.of, limit.made, limit.good = first, made, last - now
    limit.used, limit.remaining = used, math.max(limit.count - used, 0)
    limit.resets = used > 0 and last - now or 0
    if limit.count == 0 or used + limit.cost > limit.count then limit.wait = last - now end
    return function(cost)
        limit.used, limit.remaining = used + cost, math.max(limit.count - used - cost, 0)
        limit.resets = limit.used > 0 and last - now or 0
        -- A day longer than it counts, so that it is not taken for lost.
        return struct.pack('>dddd', first, last, made, limit.used), last - now + 86400000000
    end
end

local kinds = { rolling = rolling, smooth = smooth, calendar = calendar }
local function read(limit)
    return kinds[limit.kind](limit, redis.call('HGET', limit.key, limit.field) or nil)
end

local function write(limit, stored, ends)
    redis.call('HSET', limit.key, limit.field, stored)
    -- A minute longer than it counts, for clocks that are set back a little.
    ends = math.ceil(ends / 1000) + 60000
    if redis.call('PTTL', limit.key) < ends then
        redis.call('PEXPIRE', limit.key, string.format('%.0f', ends))
    end
end

