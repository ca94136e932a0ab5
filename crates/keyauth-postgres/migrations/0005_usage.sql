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
CREATE INDEX usage_by_tenant ON keyauth.usage (tenant, at);

-- Since when calls are kept, as far as any were let go of.
CREATE TABLE keyauth.usage_kept (
    since date NOT NULL,
    one boolean PRIMARY KEY DEFAULT true CHECK (one)
);

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
CREATE INDEX usage_days_by_tenant ON keyauth.usage_days (tenant, day);

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

-- Refuses what needs calls that are kept no more: less than all of them is none. Says since when there are.
-- To be asked after they were read, when nobody detaches what is locked, and by somebody who sees what was
-- committed while he waited for that: no STABLE function does.
CREATE FUNCTION keyauth.require_kept(begins timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept timestamptz;
BEGIN
    SELECT since::timestamp AT TIME ZONE 'UTC' INTO kept FROM keyauth.usage_kept;
    IF begins < kept THEN
        RAISE EXCEPTION '%', extract(epoch FROM kept)::bigint USING ERRCODE = 'KA001';
    END IF;
END
$$;

-- What was used, in any number of periods. Of whole days in UTC the sums are read, of parts of days
-- the calls; which these are, and of which period, the caller says: days by their number since 1970,
-- times in microseconds.
CREATE FUNCTION keyauth.read_usage(
    day_places bigint[], first_days bigint[], last_days bigint[],
    call_places bigint[], begins bigint[], ends bigint[],
    of_tenant text, of_owner text, of_group text, of_key uuid, of_route text, of_resource text,
    by_key boolean, by_owner boolean, by_route boolean, by_resource boolean, most bigint
)
RETURNS TABLE (
    place bigint, key_id uuid, owner text, route text, resource text, requests bigint,
    failures bigint, cost numeric, limit_cost numeric, input numeric, output numeric
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- Whose usage it is decides by which index it is found.
SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    -- Known before it is planned, so that other days' partitions are not even opened.
    earliest CONSTANT timestamptz :=
        'epoch'::timestamptz + (SELECT min(at) FROM unnest(begins) AS at) * interval '1 microsecond';
    latest CONSTANT timestamptz :=
        'epoch'::timestamptz + (SELECT max(at) FROM unnest(ends) AS at) * interval '1 microsecond';
BEGIN
    RETURN QUERY
    SELECT p.place, p.key_id, p.owner, p.route, p.resource, sum(p.requests)::bigint,
        sum(p.failures)::bigint, sum(p.cost), sum(p.limit_cost), sum(p.input), sum(p.output)
    FROM (
        SELECT slice.place, s.*
        FROM unnest(day_places, first_days, last_days) AS slice (place, first_day, last_day)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN by_key THEN d.key_id END AS key_id,
                CASE WHEN by_owner THEN d.owner END AS owner,
                CASE WHEN by_route THEN d.route END AS route,
                CASE WHEN by_resource THEN d.resource END AS resource,
                d.requests, d.failures, d.cost, d.limit_cost, d.input, d.output
            FROM keyauth.usage_days AS d
            WHERE d.day >= '1970-01-01'::date + slice.first_day::integer
                AND d.day < '1970-01-01'::date + slice.last_day::integer
                AND d.tenant = of_tenant
                AND (of_owner IS NULL OR d.owner = of_owner)
                AND (of_group IS NULL OR d.group_id = of_group)
                AND (of_key IS NULL OR d.key_id = of_key)
                AND (of_route IS NULL OR d.route = of_route)
                AND (of_resource IS NULL OR d.resource = of_resource)
        ) AS s
        UNION ALL
        SELECT slice.place, s.*
        FROM unnest(call_places, begins, ends) AS slice (place, begins, ends)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN by_key THEN u.key_id END, CASE WHEN by_owner THEN u.owner END,
                CASE WHEN by_route THEN u.route END, CASE WHEN by_resource THEN u.resource END,
                1::bigint, (u.status = 0 OR u.status >= 500)::integer::bigint, u.cost::numeric,
                u.limit_cost::numeric, u.input::numeric, u.output::numeric
            FROM keyauth.usage AS u
            WHERE u.at >= earliest AND u.at < latest
                AND u.at >= 'epoch'::timestamptz + slice.begins * interval '1 microsecond'
                AND u.at < 'epoch'::timestamptz + slice.ends * interval '1 microsecond'
                AND u.tenant = of_tenant
                AND (of_owner IS NULL OR u.owner = of_owner)
                AND (of_group IS NULL OR u.group_id = of_group)
                AND (of_key IS NULL OR u.key_id = of_key)
                AND (of_route IS NULL OR u.route = of_route)
                AND (of_resource IS NULL OR u.resource = of_resource)
        ) AS s
    ) AS p
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT most;
    PERFORM keyauth.require_kept(earliest);
END
$$;

-- The first calls of somebody in a period, as they began, with all of the last one's microsecond.
CREATE FUNCTION keyauth.list_usage(
    of_tenant text, of_owner text, of_group text, of_key uuid, begins bigint, ends bigint,
    most bigint
) RETURNS SETOF keyauth.usage
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    earliest CONSTANT timestamptz := 'epoch'::timestamptz + begins * interval '1 microsecond';
    latest CONSTANT timestamptz := 'epoch'::timestamptz + ends * interval '1 microsecond';
BEGIN
    RETURN QUERY
    SELECT u.* FROM keyauth.usage AS u
    WHERE u.at >= earliest AND u.at < latest
        AND u.tenant = of_tenant
        AND (of_owner IS NULL OR u.owner = of_owner)
        AND (of_group IS NULL OR u.group_id = of_group)
        AND (of_key IS NULL OR u.key_id = of_key)
    ORDER BY u.at FETCH FIRST most ROWS WITH TIES;
    PERFORM keyauth.require_kept(earliest);
END
$$;

-- Makes the partitions of the next days, forgets batches that nobody sends again, and detaches days
-- that ended before a time: their tables stay, for whoever wants to keep them elsewhere. Says which.
-- Fails where somebody reads for so long that others would wait too long behind it.
CREATE FUNCTION keyauth.detach_usage(before date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '1200ms' AS $$
DECLARE
    partition regclass;
    ended date;
BEGIN
    IF before > (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'today is still written to' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM keyauth.make_usage_day((now() AT TIME ZONE 'UTC')::date + ahead)
        FROM generate_series(0, 2) AS ahead;
    DELETE FROM keyauth.usage_batches WHERE written_at < now() - interval '30 days';
    -- One at a time; whoever comes meanwhile has nothing to do.
    IF before IS NULL OR NOT
        pg_try_advisory_xact_lock(hashtextextended('keyauth detach usage keyauth.', 0))
    THEN
        RETURN;
    END IF;
    -- The oldest of them; the next time more, since all who read and write wait meanwhile.
    FOR partition, ended IN
        SELECT inhrelid::regclass, to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits
        JOIN pg_class AS c ON c.oid = inhrelid
        WHERE inhparent = 'keyauth.usage'::regclass
            AND c.relname < to_char(before, '"usage_"YYYYMMDD')
        ORDER BY c.relname LIMIT 50
    LOOP
        INSERT INTO keyauth.usage_kept AS k (since) VALUES (ended + 1)
            ON CONFLICT (one) DO UPDATE SET since = greatest(k.since, excluded.since);
        EXECUTE format('ALTER TABLE keyauth.usage DETACH PARTITION %s', partition);
        RETURN NEXT partition::text;
    END LOOP;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA keyauth FROM PUBLIC;
