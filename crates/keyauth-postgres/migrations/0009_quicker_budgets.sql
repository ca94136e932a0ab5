-- The same budgets in less time: PL/pgSQL keeps the plans of its statements for as long as a
-- connection lives, where functions in SQL that set something are planned at each call; and what
-- was reserved goes back in the statement that books what it came to.

INSERT INTO keyauth.migrations (version, name) VALUES (9, 'quicker budgets');

-- A sum that stops at the largest there is. Neither is negative.
CREATE OR REPLACE FUNCTION keyauth.add_amounts(one bigint, other bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE
        WHEN one > 9223372036854775807 - other THEN 9223372036854775807
        ELSE one + other
    END;
END
$$;

-- The end of the window that has its first charge now; empty where it has none.
CREATE OR REPLACE FUNCTION keyauth.window_end(period text, zone text, at timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE
        WHEN period = 'total' THEN NULL
        WHEN period IN ('day', 'week', 'month') THEN
            (date_trunc(period, at AT TIME ZONE zone) + ('1 ' || period)::interval)
                AT TIME ZONE zone
        ELSE at + period::integer * interval '1 hour'
    END;
END
$$;

CREATE OR REPLACE FUNCTION keyauth.window_start(period text, zone text, at timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN period IN ('day', 'week', 'month') THEN
        least(at, date_trunc(period, at AT TIME ZONE zone) AT TIME ZONE zone)
    ELSE at END;
END
$$;

-- How accounts stand, in the order they are asked for. What is over counts no more.
CREATE OR REPLACE FUNCTION keyauth.account_states(wanted bigint[])
RETURNS TABLE (
    at bigint, used bigint, reserved bigint, overrun bigint, lost bigint,
    began_at timestamptz, ends_at timestamptz
)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT w.at, coalesce(n.used, 0), coalesce(a.reserved, 0), coalesce(n.overrun, 0),
        coalesce(n.lost, 0), n.began_at, n.ends_at
    FROM unnest(wanted) WITH ORDINALITY AS w (account, at)
    LEFT JOIN keyauth.accounts AS a ON a.id = w.account
    LEFT JOIN keyauth.accounts AS n
        ON n.id = w.account AND (n.ends_at IS NULL OR n.ends_at > clock_timestamp())
    ORDER BY w.at;
END
$$;

-- The ids of accounts by their names; NULL for those that nobody has charged yet.
CREATE OR REPLACE FUNCTION keyauth.find_accounts(
    tenants text[], subjects text[], budgets text[], periods text[], zones text[]
) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found bigint[];
BEGIN
    SELECT array_agg(a.id ORDER BY n.at) INTO found
    FROM unnest(tenants, subjects, budgets, periods, zones)
        WITH ORDINALITY AS n (tenant, subject, budget, period, zone, at)
    LEFT JOIN keyauth.accounts AS a
        ON (a.tenant, a.subject, a.budget, a.period, a.zone)
            = (n.tenant, n.subject, n.budget, n.period, n.zone);
    RETURN found;
END
$$;

-- Books what a charge came to. Answers with one row for each of its budgets, and says in all of
-- them what became of it: 'settled', 'unknown' or 'conflict'.
CREATE OR REPLACE FUNCTION keyauth.settle_charge(settled_id text, came_to bigint)
RETURNS TABLE (
    outcome text, charged bigint, bound bigint, used bigint, reserved bigint, overrun bigint,
    lost bigint, began_at timestamptz, ends_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    opened bigint[];
    charge keyauth.charges;
    present timestamptz;
    granted bigint := 0;
    -- What was reserved, and goes back in the statement that books.
    held bigint := 0;
BEGIN
    -- The accounts of a charge stay the same as long as it is known.
    SELECT accounts INTO opened FROM keyauth.charges WHERE id = settled_id;
    IF opened IS NULL THEN
        RETURN QUERY SELECT 'unknown', 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
            0::bigint, NULL::timestamptz, NULL::timestamptz;
        RETURN;
    END IF;
    present := keyauth.open_accounts(opened);
    SELECT * INTO charge FROM keyauth.charges WHERE id = settled_id FOR NO KEY UPDATE;
    IF charge.status = 'reserved' AND charge.until <= present THEN
        PERFORM keyauth.abandon_charge(charge, present);
        SELECT * INTO charge FROM keyauth.charges WHERE id = settled_id;
    END IF;
    IF charge.status = 'settled' THEN
        RETURN QUERY SELECT
            CASE WHEN charge.settled = came_to THEN 'settled' ELSE 'conflict' END, charge.charged,
            charge.limits[s.at], s.used, s.reserved, s.overrun, s.lost, s.began_at, s.ends_at
        FROM keyauth.account_states(opened) AS s;
        RETURN;
    END IF;
    IF charge.status = 'reserved' AND came_to > 0 THEN
        held := charge.amount;
    ELSIF charge.status = 'reserved' THEN
        charge.lost_when_abandoned := false;
        PERFORM keyauth.abandon_charge(charge, present);
    ELSIF charge.status = 'lost' THEN
        -- It is not: whoever had it was cut off, and says what he has spent. Where a window has
        -- ended since, nothing of it is counted any more.
        UPDATE keyauth.accounts SET used = used - charge.amount, lost = lost - charge.amount
            WHERE id = ANY (opened) AND lost >= charge.amount AND began_at <= charge.until;
        UPDATE keyauth.charges SET status = 'given_back' WHERE id = settled_id;
    END IF;
    IF came_to > 0 THEN
        SELECT coalesce(min(least(came_to,
                greatest(0, greatest(0, p.bound - a.used) - (a.reserved - held)))), came_to)
            INTO granted
            FROM unnest(charge.accounts, charge.limits, charge.soft) AS p (account, bound, soft)
            JOIN keyauth.accounts AS a ON a.id = p.account
            WHERE NOT p.soft;
        UPDATE keyauth.accounts AS a SET
            reserved = a.reserved - CASE WHEN p.soft THEN 0 ELSE held END,
            used = keyauth.add_amounts(a.used, CASE WHEN p.soft THEN came_to ELSE granted END),
            overrun =
                keyauth.add_amounts(a.overrun, CASE WHEN p.soft THEN 0 ELSE came_to - granted END),
            began_at = coalesce(a.began_at, keyauth.window_start(a.period, a.zone, present)),
            ends_at = CASE WHEN a.began_at IS NULL
                THEN keyauth.window_end(a.period, a.zone, present) ELSE a.ends_at END
        FROM unnest(charge.accounts, charge.soft) AS p (account, soft) WHERE a.id = p.account;
        UPDATE keyauth.charges SET status = 'settled', until = present, settled = came_to,
            charged = granted
            WHERE id = settled_id;
    END IF;
    RETURN QUERY SELECT 'settled', granted, charge.limits[s.at], s.used, s.reserved, s.overrun,
        s.lost, s.began_at, s.ends_at
    FROM keyauth.account_states(opened) AS s;
END
$$;
