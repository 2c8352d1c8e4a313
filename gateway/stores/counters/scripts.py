"""What Redis runs: each script whole, and nothing of it where it cannot be written.

Keys: the clock, the owners, and the counters of a call in their order. A window is a hash of buckets and amounts, a
counter of calls in flight one of owners and numbers; the owners are sorted by when their lease ends. Numbers are exact
up to 2^53.
"""

# Time is that of Redis in microseconds, but for a clock that is put back: it goes on from where it was, since all that
# has been counted would lie in the future. A clock that jumps forwards makes forget what it jumps over.
_BEGIN = """
local time = redis.call('TIME')
local clock = redis.call('HMGET', KEYS[1], 'last', 'ahead')
local last, ahead = tonumber(clock[1]) or 0, tonumber(clock[2]) or 0
local now = time[1] * 1000000 + time[2] + ahead
if now < last then ahead, now = ahead + last - now, last end
redis.call('HSET', KEYS[1], 'last', now, 'ahead', ahead)
local LEASE, DAY = 30000000, 86400

local function living()
    return redis.call('ZCOUNT', KEYS[2], now, '+inf')
end

local function lives(owner)
    return tonumber(redis.call('ZSCORE', KEYS[2], owner) or 0) >= now
end

local function renew(owner)
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.0f', now))
    redis.call('ZADD', KEYS[2], now + LEASE, owner)
end

-- The bucket under way, the first one of the period that it lies in, and the microseconds since that one began.
local function bucket(seconds)
    local part = now % (seconds * 1000000)
    local first = (now - part) / (seconds * 1000000) * 60
    return first + math.floor(part * 60 / (seconds * 1000000)), first, part
end

local function count(key, seconds, field, amount)
    if amount == 0 then return end
    local counted = redis.call('HINCRBY', key, field, string.format('%.0f', amount))
    if seconds == 0 and counted == 0 then redis.call('HDEL', key, field) end
    redis.call('EXPIRE', key, seconds == 0 and DAY or 2 * seconds)
end
"""

# Arguments: the owner, or nothing for a look, and of each counter its seconds, its limit or -1, and the amount.
# Answer: whether all was taken, how many owners live, and of each counter what it said, microseconds until the demand
# fits or -1 for never, and the bucket.
TAKE = f"""{_BEGIN}
if ARGV[1] ~= '' and not lives(ARGV[1]) then return redis.error_reply('GONE this owner is not known') end
local alive

local function in_flight(key)
    if not alive then
        alive = {{}}
        for _, owner in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')) do alive[owner] = true end
    end
    local all, sum = redis.call('HGETALL', key), 0
    for i = 1, #all, 2 do
        if alive[all[i]] then sum = sum + math.max(0, all[i + 1]) else redis.call('HDEL', key, all[i]) end
    end
    return sum
end

local function window(key, oldest)
    local all, sum = redis.call('HGETALL', key), 0
    for i = 1, #all, 2 do
        if tonumber(all[i]) < oldest then redis.call('HDEL', key, all[i]) else sum = sum + all[i + 1] end
    end
    return sum
end

local function wait(key, seconds, over)
    local _, first, part = bucket(seconds)
    local all, buckets, amounts = redis.call('HGETALL', key), {{}}, {{}}
    for i = 1, #all, 2 do
        buckets[#buckets + 1] = tonumber(all[i])
        amounts[tonumber(all[i])] = tonumber(all[i + 1])
    end
    table.sort(buckets)
    local number = 0
    while over > 0 do
        number = number + 1
        over = over - amounts[buckets[number]]
    end
    return math.ceil((buckets[number] + 61 - first) * seconds * 1000000 / 60 - part)
end

local answer, taken = {{1, living()}}, true
for i = 3, #KEYS do
    local at = 3 * (i - 3) + 2
    local seconds, limit, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local now_in, said = 0, 0
    if seconds == 0 then
        said = in_flight(KEYS[i])
    else
        now_in = bucket(seconds)
        said = window(KEYS[i], now_in - 60)
    end
    local needed = 0
    if limit >= 0 and amount > 0 and said + amount > limit then
        taken, needed = false, -1
        if seconds > 0 and amount <= limit then needed = wait(KEYS[i], seconds, said + amount - limit) end
    end
    answer[at + 1], answer[at + 2], answer[at + 3] = said, needed, now_in
end
if not taken then
    answer[1] = 0
    return answer
end
for i = 3, #KEYS do
    local at = 3 * (i - 3) + 2
    local seconds = tonumber(ARGV[at])
    count(KEYS[i], seconds, seconds == 0 and ARGV[1] or string.format('%.0f', answer[at + 3]), tonumber(ARGV[at + 2]))
end
return answer
"""

# Arguments: the owner, and of each counter its seconds, the bucket, and how much less is to count there.
CORRECT = f"""{_BEGIN}
if not lives(ARGV[1]) then return redis.error_reply('GONE this owner is not known') end
for i = 3, #KEYS do
    local at = 3 * (i - 3) + 2
    local seconds, less = tonumber(ARGV[at]), tonumber(ARGV[at + 2])
    if seconds == 0 then
        count(KEYS[i], 0, ARGV[1], -less)
    elseif tonumber(ARGV[at + 1]) >= bucket(seconds) - 60 then
        local counted = redis.call('HGET', KEYS[i], ARGV[at + 1])
        if counted or less < 0 then
            count(KEYS[i], seconds, ARGV[at + 1], -math.min(less, tonumber(counted or 0)))
        end
    end
end
return 1
"""

# Arguments: the new owner, the one that is no more, and of each counter how many calls are in flight.
JOIN = f"""{_BEGIN}
redis.call('ZREM', KEYS[2], ARGV[2])
renew(ARGV[1])
for i = 3, #KEYS do count(KEYS[i], 0, ARGV[1], tonumber(ARGV[i])) end
return living()
"""

# Argument: the owner.
RENEW = f"""{_BEGIN}
if not lives(ARGV[1]) then return redis.error_reply('GONE this owner is not known') end
renew(ARGV[1])
return living()
"""

# Argument: the owner.
LEAVE = f"""{_BEGIN}
return redis.call('ZREM', KEYS[2], ARGV[1])
"""
