-- The record of what was used: calls, a partition for each day, and sums of each day.
-- Amounts are hundred-millionths of a unit.

INSERT INTO keyauth.migrations (version, name) VALUES (5, 'usage');

ALTER TABLE keyauth.key_usage ADD COLUMN last_used_from inet;

-- Batches that were written, so that none is twice.
CREATE TABLE keyauth.usage_batches (
    id uuid PRIMARY KEY,
    written_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX usage_batches_by_time ON keyauth.usage_batches (written_at);

CREATE TABLE keyauth.usage (
    at timestamptz NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    -- Empty where the key has none.
    group_id text COLLATE "C" NOT NULL,
    -- Of a key that may be gone.
    key_id uuid NOT NULL,
    route text NOT NULL,
    resource text NOT NULL,
    -- Zero where there was no answer.
    status integer NOT NULL,
    cost bigint NOT NULL,
    -- What limits of cost counted it as.
    limit_cost bigint NOT NULL,
    input bigint NOT NULL,
    output bigint NOT NULL,
    duration interval NOT NULL,
    address inet
) PARTITION BY RANGE (at);
CREATE INDEX usage_by_key ON keyauth.usage (key_id, at);
CREATE INDEX usage_by_owner ON keyauth.usage (tenant, owner, at);

-- Sums of a day in UTC. They stay when the day's calls are detached.
CREATE TABLE keyauth.usage_days (
    day date NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    key_id uuid NOT NULL,
    route text COLLATE "C" NOT NULL,
    resource text COLLATE "C" NOT NULL,
    requests bigint NOT NULL,
    failures bigint NOT NULL,
    cost numeric NOT NULL,
    limit_cost numeric NOT NULL,
    input numeric NOT NULL,
    output numeric NOT NULL,
    PRIMARY KEY (key_id, day, tenant, owner, group_id, route, resource)
);
CREATE INDEX usage_days_by_owner ON keyauth.usage_days (tenant, owner, day);

-- Calls that the database has refused, as they were sent.
CREATE TABLE keyauth.usage_set_aside (
    batch uuid NOT NULL,
    place integer NOT NULL,
    event text NOT NULL,
    reason text NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch, place)
);

-- The partition of a day in UTC, which is made where it is not there. Attached rather than made as one:
-- that waits for nobody who reads.
CREATE FUNCTION keyauth.make_usage_day(day date) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition CONSTANT text := to_char(day, '"usage_"YYYYMMDD');
BEGIN
    IF to_regclass(format('keyauth.%I', partition)) IS NOT NULL THEN
        -- Also one that was detached: what comes so late is set aside.
        RETURN;
    END IF;
    -- One after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('keyauth usage keyauth.', 0));
    IF to_regclass(format('keyauth.%I', partition)) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE keyauth.%I (LIKE keyauth.usage INCLUDING ALL)', partition);
        EXECUTE format(
            'ALTER TABLE keyauth.usage ATTACH PARTITION keyauth.%I FOR VALUES FROM (%L) TO (%L)',
            partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
END
$$;

-- Writes events. Times are microseconds of Unix time.
CREATE FUNCTION keyauth.write_events(
    times bigint[], tenants text[], owners text[], groups text[], keys uuid[],
    routes text[], resources text[], statuses integer[], costs bigint[], limit_costs bigint[],
    inputs bigint[], outputs bigint[], durations bigint[], addresses text[]
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM keyauth.make_usage_day(day) FROM (
        SELECT DISTINCT
            (('epoch'::timestamptz + at * interval '1 microsecond') AT TIME ZONE 'UTC')::date AS day
        FROM unnest(times) AS at) AS days;
    WITH events AS (
        SELECT 'epoch'::timestamptz + e.at * interval '1 microsecond' AS at, e.tenant, e.owner,
            e.group_id, e.key_id, e.route, e.resource, e.status, e.cost, e.limit_cost, e.input,
            e.output, e.duration * interval '1 microsecond' AS duration, e.address::inet AS address
        FROM unnest(times, tenants, owners, groups, keys, routes, resources, statuses, costs,
            limit_costs, inputs, outputs, durations, addresses) AS e
            (at, tenant, owner, group_id, key_id, route, resource, status, cost, limit_cost, input,
            output, duration, address)
    ), written AS (
        INSERT INTO keyauth.usage SELECT * FROM events
    ), summed AS (
        INSERT INTO keyauth.usage_days AS d
        SELECT (at AT TIME ZONE 'UTC')::date, tenant, owner, group_id, key_id, route, resource,
            count(*), count(*) FILTER (WHERE status = 0 OR status >= 500), sum(cost),
            sum(limit_cost), sum(input), sum(output)
        FROM events GROUP BY 1, 2, 3, 4, 5, 6, 7
        -- In one order, so that batches of several processes do not wait in a circle.
        ORDER BY 5, 1, 2, 3, 4, 6, 7
        ON CONFLICT (key_id, day, tenant, owner, group_id, route, resource) DO UPDATE SET
            requests = d.requests + excluded.requests, failures = d.failures + excluded.failures,
            cost = d.cost + excluded.cost, limit_cost = d.limit_cost + excluded.limit_cost,
            input = d.input + excluded.input, output = d.output + excluded.output
    )
    INSERT INTO keyauth.key_usage AS u (key_id, last_used_at, last_used_from)
    SELECT DISTINCT ON (e.key_id) e.key_id, e.at, e.address
    FROM events AS e JOIN keyauth.keys AS k ON k.id = e.key_id
    ORDER BY e.key_id, e.at DESC
    ON CONFLICT (key_id) DO UPDATE
        SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from
        -- To the minute, so that a busy key is not written with each batch.
        WHERE excluded.last_used_at >= u.last_used_at + interval '1 minute';
END
$$;

-- Writes a batch, once: as a whole, or, where its events are given as texts too, one by one, and sets
-- aside those that are refused. Says how many these are.
CREATE FUNCTION keyauth.write_usage(
    batch uuid, times bigint[], tenants text[], owners text[], groups text[], keys uuid[],
    routes text[], resources text[], statuses integer[], costs bigint[], limit_costs bigint[],
    inputs bigint[], outputs bigint[], durations bigint[], addresses text[], events text[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    set_aside bigint := 0;
BEGIN
    INSERT INTO keyauth.usage_batches (id) VALUES (batch) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 0;
    ELSIF events IS NULL THEN
        PERFORM keyauth.write_events(times, tenants, owners, groups, keys, routes, resources,
            statuses, costs, limit_costs, inputs, outputs, durations, addresses);
        RETURN 0;
    END IF;
    FOR place IN 1 .. cardinality(times) LOOP
        BEGIN
            PERFORM keyauth.write_events(times[place:place], tenants[place:place],
                owners[place:place], groups[place:place], keys[place:place], routes[place:place],
                resources[place:place], statuses[place:place], costs[place:place],
                limit_costs[place:place], inputs[place:place], outputs[place:place],
                durations[place:place], addresses[place:place]);
        EXCEPTION
            WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
                INSERT INTO keyauth.usage_set_aside (batch, place, event, reason)
                VALUES (batch, place - 1, events[place], SQLERRM);
                set_aside := set_aside + 1;
        END;
    END LOOP;
    RETURN set_aside;
END
$$;

-- Of whole days the sums, of parts of days the calls; so a time zone's day is exact as well.
CREATE FUNCTION keyauth.total_usage(
    of_tenant text, of_owner text, of_group text, of_key uuid, from_time bigint, to_time bigint
)
RETURNS TABLE (
    requests bigint, failures bigint, cost numeric, limit_cost numeric, input numeric,
    output numeric
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    begins CONSTANT timestamptz := 'epoch'::timestamptz + from_time * interval '1 microsecond';
    ends CONSTANT timestamptz := 'epoch'::timestamptz + to_time * interval '1 microsecond';
    -- The first whole day, and the first after the last.
    first_day CONSTANT date :=
        ((begins AT TIME ZONE 'UTC') + interval '1 day' - interval '1 microsecond')::date;
    last_day CONSTANT date := greatest(first_day, (ends AT TIME ZONE 'UTC')::date);
BEGIN
    RETURN QUERY
    SELECT coalesce(sum(p.requests), 0)::bigint, coalesce(sum(p.failures), 0)::bigint,
        coalesce(sum(p.cost), 0), coalesce(sum(p.limit_cost), 0), coalesce(sum(p.input), 0),
        coalesce(sum(p.output), 0)
    FROM (
        SELECT d.requests, d.failures, d.cost, d.limit_cost, d.input, d.output
        FROM keyauth.usage_days AS d
        WHERE d.day >= first_day AND d.day < last_day AND d.tenant = of_tenant
            AND (of_owner IS NULL OR d.owner = of_owner)
            AND (of_group IS NULL OR d.group_id = of_group)
            AND (of_key IS NULL OR d.key_id = of_key)
        UNION ALL
        SELECT 1, (u.status = 0 OR u.status >= 500)::integer, u.cost, u.limit_cost, u.input, u.output
        FROM keyauth.usage AS u
        WHERE u.at >= begins AND u.at < ends
            AND (u.at < first_day::timestamp AT TIME ZONE 'UTC'
                OR u.at >= last_day::timestamp AT TIME ZONE 'UTC')
            AND u.tenant = of_tenant
            AND (of_owner IS NULL OR u.owner = of_owner)
            AND (of_group IS NULL OR u.group_id = of_group)
            AND (of_key IS NULL OR u.key_id = of_key)
    ) AS p;
END
$$;

-- Makes the partitions of the next days, forgets batches that nobody sends again, and detaches days
-- that ended before a time: their tables stay, for whoever wants to keep them elsewhere. Says which.
CREATE FUNCTION keyauth.detach_usage(before date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    partition regclass;
BEGIN
    IF before > (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'today is still written to' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM keyauth.make_usage_day((now() AT TIME ZONE 'UTC')::date + ahead)
        FROM generate_series(0, 2) AS ahead;
    DELETE FROM keyauth.usage_batches WHERE written_at < now() - interval '30 days';
    FOR partition IN
        SELECT inhrelid::regclass FROM pg_inherits
        JOIN pg_class AS c ON c.oid = inhrelid
        WHERE inhparent = 'keyauth.usage'::regclass
            AND c.relname < to_char(before, '"usage_"YYYYMMDD')
    LOOP
        EXECUTE format('ALTER TABLE keyauth.usage DETACH PARTITION %s', partition);
        RETURN NEXT partition::text;
    END LOOP;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA keyauth FROM PUBLIC;
