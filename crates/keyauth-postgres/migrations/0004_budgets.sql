-- Budgets of tenants, owners and groups, beside those of keys, and the ledger of what is spent.
-- Amounts are hundred-millionths of a unit.

INSERT INTO keyauth.migrations (version, name) VALUES (4, 'budgets');

ALTER TABLE keyauth.tenants
    ADD COLUMN budgets jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(budgets) = 'array');
ALTER TABLE keyauth.owners
    ADD COLUMN budgets jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(budgets) = 'array'),
    -- In place of that of groups.
    ADD COLUMN rate_multiplier numeric(9, 4) CHECK (rate_multiplier > 0);
ALTER TABLE keyauth.groups
    ADD COLUMN budgets jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(budgets) = 'array');
-- An owner has one for all groups, since only exclusive ones keep a list.
ALTER TABLE keyauth.memberships DROP COLUMN rate_multiplier;

-- What stands of one budget of one subject.
CREATE TABLE keyauth.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Empty where the subject is nobody's.
    tenant text COLLATE "C" NOT NULL,
    -- A kind and names, a space in between: 'owner ada'.
    subject text COLLATE "C" NOT NULL,
    budget text COLLATE "C" NOT NULL,
    -- 'total', 'day', 'week', 'month' or a number of hours.
    period text COLLATE "C" NOT NULL CHECK (period ~ '^(total|day|week|month|[0-9]{1,5})$'),
    zone text COLLATE "C" NOT NULL,
    -- Of the present window: empty before its first charge. The end is the first instant after it.
    began_at timestamptz,
    ends_at timestamptz,
    -- What was lost is used as well.
    used bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    overrun bigint NOT NULL DEFAULT 0 CHECK (overrun >= 0),
    lost bigint NOT NULL DEFAULT 0 CHECK (lost BETWEEN 0 AND used),
    UNIQUE (tenant, subject, budget, period, zone)
) WITH (fillfactor = 50);

CREATE TABLE keyauth.charges (
    id text COLLATE "C" PRIMARY KEY,
    -- The accounts it is charged to, in its own order, and what is known of each.
    accounts bigint[] NOT NULL,
    limits bigint[] NOT NULL CHECK (cardinality(limits) = cardinality(accounts)),
    -- Nothing is reserved of soft budgets.
    soft boolean[] NOT NULL CHECK (cardinality(soft) = cardinality(accounts)),
    amount bigint NOT NULL CHECK (amount >= 0),
    lost_when_abandoned boolean NOT NULL,
    status text NOT NULL CHECK (status IN ('reserved', 'given_back', 'lost', 'settled')),
    -- When it is over without having been renewed; once closed, when that was.
    until timestamptz NOT NULL,
    settled bigint CHECK (settled >= 0),
    charged bigint CHECK (charged BETWEEN 0 AND settled),
    CHECK ((status = 'settled') = (settled IS NOT NULL)),
    CHECK ((status = 'settled') = (charged IS NOT NULL))
);
CREATE INDEX charges_reserved ON keyauth.charges (until) WHERE status = 'reserved';
CREATE INDEX charges_closed ON keyauth.charges (until) WHERE status <> 'reserved';
CREATE INDEX charges_lost ON keyauth.charges (id) WHERE status = 'lost';

-- What the ledger may be asked runs with its owner's rights, so that a service needs none to the
-- tables and cannot give itself what it did not pay for.
--
-- Nobody waits for a lock for long, since he would keep a connection from others meanwhile.
--
-- Whoever locks accounts locks them in the order of their ids, and charges after them; of charges
-- that are not his own he takes those that nobody else is at. So nobody waits in a circle.

-- A sum that stops at the largest there is. Neither is negative.
CREATE FUNCTION keyauth.add_amounts(one bigint, other bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN one > 9223372036854775807 - other THEN 9223372036854775807 ELSE one + other END
$$;

-- The end of the window that has its first charge now; empty where it has none.
CREATE FUNCTION keyauth.window_end(period text, zone text, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN period = 'total' THEN NULL
        WHEN period IN ('day', 'week', 'month') THEN
            (date_trunc(period, at AT TIME ZONE zone) + ('1 ' || period)::interval)
                AT TIME ZONE zone
        ELSE at + period::integer * interval '1 hour'
    END
$$;

CREATE FUNCTION keyauth.window_start(period text, zone text, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN period IN ('day', 'week', 'month') THEN
        least(at, date_trunc(period, at AT TIME ZONE zone) AT TIME ZONE zone)
    ELSE at END
$$;

-- Locks accounts, begins those anew whose windows are over, and says what time it is then.
CREATE FUNCTION keyauth.open_accounts(wanted bigint[]) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present timestamptz;
BEGIN
    PERFORM 1 FROM keyauth.accounts WHERE id = ANY (wanted) ORDER BY id FOR NO KEY UPDATE;
    present := clock_timestamp();
    UPDATE keyauth.accounts
        SET began_at = NULL, ends_at = NULL, used = 0, overrun = 0, lost = 0
        WHERE id = ANY (wanted) AND ends_at <= present;
    RETURN present;
END
$$;

-- Closes one charge that was abandoned, whose accounts are open and whose row is locked.
CREATE FUNCTION keyauth.abandon_charge(charge keyauth.charges, present timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE keyauth.accounts AS a SET
        reserved = a.reserved - CASE WHEN p.soft THEN 0 ELSE charge.amount END,
        used = CASE WHEN charge.lost_when_abandoned
            THEN keyauth.add_amounts(a.used, charge.amount) ELSE a.used END,
        lost = CASE WHEN charge.lost_when_abandoned
            THEN keyauth.add_amounts(a.lost, charge.amount) ELSE a.lost END,
        began_at = CASE WHEN charge.lost_when_abandoned
            THEN coalesce(a.began_at, keyauth.window_start(a.period, a.zone, present))
            ELSE a.began_at END,
        ends_at = CASE WHEN charge.lost_when_abandoned AND a.began_at IS NULL
            THEN keyauth.window_end(a.period, a.zone, present) ELSE a.ends_at END
    FROM unnest(charge.accounts, charge.soft) AS p (account, soft)
    WHERE a.id = p.account;
    UPDATE keyauth.charges
        SET status = CASE WHEN charge.lost_when_abandoned THEN 'lost' ELSE 'given_back' END,
            until = present
        WHERE id = charge.id;
END
$$;

-- Closes charges that were abandoned, of these accounts. Says how many.
CREATE FUNCTION keyauth.close_abandoned(wanted bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    abandoned text[];
    involved bigint[];
    charge keyauth.charges;
    present timestamptz;
    before bigint;
    closed bigint := 0;
BEGIN
    LOOP
        SELECT array_agg(c.id) INTO abandoned FROM (
            SELECT id FROM keyauth.charges
            WHERE status = 'reserved' AND until <= clock_timestamp() AND accounts && wanted
            ORDER BY until LIMIT 1000
        ) AS c;
        EXIT WHEN abandoned IS NULL;
        SELECT array_agg(DISTINCT a.id) INTO involved
            FROM keyauth.charges AS c, unnest(c.accounts) AS a (id) WHERE c.id = ANY (abandoned);
        present := keyauth.open_accounts(involved);
        before := closed;
        FOR charge IN
            SELECT * FROM keyauth.charges
            WHERE id = ANY (abandoned) AND status = 'reserved' AND until <= present
            ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
        LOOP
            PERFORM keyauth.abandon_charge(charge, present);
            closed := closed + 1;
        END LOOP;
        EXIT WHEN closed = before;
    END LOOP;
    RETURN closed;
END
$$;

-- The same for a few of anybody, whose accounts nobody is at.
CREATE FUNCTION keyauth.close_some_abandoned() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    abandoned text[];
    free bigint[];
    charge keyauth.charges;
    present timestamptz;
    closed bigint := 0;
BEGIN
    SELECT array_agg(c.id) INTO abandoned FROM (
        SELECT id FROM keyauth.charges
        WHERE status = 'reserved' AND until <= clock_timestamp() ORDER BY until LIMIT 50
    ) AS c;
    SELECT array_agg(a.id) INTO free FROM (
        SELECT id FROM keyauth.accounts WHERE id IN (
            SELECT unnest(accounts) FROM keyauth.charges WHERE id = ANY (abandoned))
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ) AS a;
    present := keyauth.open_accounts(free);
    FOR charge IN
        SELECT * FROM keyauth.charges
        WHERE id = ANY (abandoned) AND status = 'reserved' AND until <= present
            AND accounts <@ free
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM keyauth.abandon_charge(charge, present);
        closed := closed + 1;
    END LOOP;
    RETURN closed;
END
$$;

-- How accounts stand, in the order they are asked for. What is over counts no more.
CREATE FUNCTION keyauth.account_states(wanted bigint[])
RETURNS TABLE (
    at bigint, used bigint, reserved bigint, overrun bigint, lost bigint,
    began_at timestamptz, ends_at timestamptz
)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.at, coalesce(n.used, 0), coalesce(a.reserved, 0), coalesce(n.overrun, 0),
        coalesce(n.lost, 0), n.began_at, n.ends_at
    FROM unnest(wanted) WITH ORDINALITY AS w (account, at)
    LEFT JOIN keyauth.accounts AS a ON a.id = w.account
    LEFT JOIN keyauth.accounts AS n
        ON n.id = w.account AND (n.ends_at IS NULL OR n.ends_at > clock_timestamp())
    ORDER BY w.at
$$;

-- The ids of accounts by their names; NULL for those that nobody has charged yet.
CREATE FUNCTION keyauth.find_accounts(
    tenants text[], subjects text[], budgets text[], periods text[], zones text[]
) RETURNS bigint[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(a.id ORDER BY n.at)
    FROM unnest(tenants, subjects, budgets, periods, zones)
        WITH ORDINALITY AS n (tenant, subject, budget, period, zone, at)
    LEFT JOIN keyauth.accounts AS a
        ON (a.tenant, a.subject, a.budget, a.period, a.zone)
            = (n.tenant, n.subject, n.budget, n.period, n.zone)
$$;

-- The same, after those are made that nobody has charged yet.
CREATE FUNCTION keyauth.make_accounts(
    tenants text[], subjects text[], budgets text[], periods text[], zones text[]
) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made bigint[] := keyauth.find_accounts(tenants, subjects, budgets, periods, zones);
BEGIN
    IF array_position(made, NULL) IS NOT NULL THEN
        INSERT INTO keyauth.accounts (tenant, subject, budget, period, zone)
        SELECT * FROM unnest(tenants, subjects, budgets, periods, zones) AS n
            (tenant, subject, budget, period, zone)
        ORDER BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING;
        made := keyauth.find_accounts(tenants, subjects, budgets, periods, zones);
    END IF;
    RETURN made;
END
$$;

-- Reserves what a charge may come to of all its budgets, or of none. Answers with one row for
-- each, and says in all of them what became of it: 'reserved', 'exhausted', 'conflict', or
-- 'abandoned' where there is more room once abandoned charges are closed.
CREATE FUNCTION keyauth.reserve_charge(
    new_id text, tenants text[], subjects text[], budgets text[], periods text[], zones text[],
    new_limits bigint[], new_soft boolean[], new_amount bigint, new_lost boolean, lasts interval
)
RETURNS TABLE (
    outcome text, refuses boolean, used bigint, reserved bigint, overrun bigint, lost bigint,
    began_at timestamptz, ends_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    opened bigint[];
    known keyauth.charges;
    present timestamptz;
    refusing boolean[];
    became text := 'reserved';
BEGIN
    opened := keyauth.make_accounts(tenants, subjects, budgets, periods, zones);
    present := keyauth.open_accounts(opened);
    SELECT * INTO known FROM keyauth.charges WHERE id = new_id;
    IF known.id IS NOT NULL AND (known.accounts <> opened OR known.amount <> new_amount) THEN
        became := 'conflict';
    ELSIF known.status = 'reserved' THEN
        SELECT * INTO known FROM keyauth.charges WHERE id = new_id FOR NO KEY UPDATE;
        IF known.until <= present THEN
            PERFORM keyauth.abandon_charge(known, present);
            SELECT * INTO known FROM keyauth.charges WHERE id = new_id;
        ELSE
            UPDATE keyauth.charges SET until = greatest(until, present + lasts)
                WHERE id = new_id AND status = 'reserved';
        END IF;
    END IF;
    IF became = 'conflict' THEN
        NULL;
    ELSIF known.id IS NULL OR known.status = 'given_back' THEN
        SELECT array_agg(
                a.used >= w.bound
                OR NOT w.soft AND greatest(0, w.bound - a.used) - a.reserved < new_amount
                ORDER BY w.at)
            INTO refusing
            FROM unnest(opened, new_limits, new_soft) WITH ORDINALITY AS w (account, bound, soft, at)
            JOIN keyauth.accounts AS a ON a.id = w.account;
        IF true = ANY (refusing) THEN
            -- What is in the way may have been abandoned: its accounts are to be locked before these.
            became := CASE WHEN EXISTS (
                SELECT FROM keyauth.charges
                WHERE status = 'reserved' AND until <= present AND accounts && opened)
                THEN 'abandoned' ELSE 'exhausted' END;
        ELSE
            INSERT INTO keyauth.charges
                (id, accounts, limits, soft, amount, lost_when_abandoned, status, until)
            VALUES (new_id, opened, new_limits, new_soft, new_amount, new_lost, 'reserved',
                present + lasts)
            ON CONFLICT (id) DO UPDATE
                SET limits = excluded.limits, soft = excluded.soft, status = 'reserved',
                    lost_when_abandoned = excluded.lost_when_abandoned, until = excluded.until
                WHERE charges.status = 'given_back' AND charges.accounts = excluded.accounts
                    AND charges.amount = excluded.amount;
            IF FOUND THEN
                UPDATE keyauth.accounts AS a SET
                    reserved = a.reserved + CASE WHEN w.soft THEN 0 ELSE new_amount END,
                    began_at =
                        coalesce(a.began_at, keyauth.window_start(a.period, a.zone, present)),
                    ends_at = CASE WHEN a.began_at IS NULL
                        THEN keyauth.window_end(a.period, a.zone, present) ELSE a.ends_at END
                FROM unnest(opened, new_soft) AS w (account, soft) WHERE a.id = w.account;
            ELSE
                -- Somebody else has taken the name meanwhile, for other accounts.
                became := 'conflict';
            END IF;
        END IF;
    END IF;
    RETURN QUERY SELECT became, coalesce(refusing[s.at], false), s.used, s.reserved, s.overrun,
        s.lost, s.began_at, s.ends_at
    FROM keyauth.account_states(opened) AS s;
END
$$;

-- Books what a charge came to. Answers with one row for each of its budgets, and says in all of
-- them what became of it: 'settled', 'unknown' or 'conflict'.
CREATE FUNCTION keyauth.settle_charge(settled_id text, came_to bigint)
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
    IF charge.status = 'reserved' THEN
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
                greatest(0, greatest(0, p.bound - a.used) - a.reserved))), came_to)
            INTO granted
            FROM unnest(charge.accounts, charge.limits, charge.soft) AS p (account, bound, soft)
            JOIN keyauth.accounts AS a ON a.id = p.account
            WHERE NOT p.soft;
        UPDATE keyauth.accounts AS a SET
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

-- Books what was made without having been reserved, as if that had been given back.
CREATE FUNCTION keyauth.book_charge(
    new_id text, tenants text[], subjects text[], budgets text[], periods text[], zones text[],
    new_limits bigint[], new_soft boolean[], new_amount bigint, new_lost boolean
)
RETURNS TABLE (
    outcome text, charged bigint, bound bigint, used bigint, reserved bigint, overrun bigint,
    lost bigint, began_at timestamptz, ends_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    opened CONSTANT bigint[] :=
        keyauth.make_accounts(tenants, subjects, budgets, periods, zones);
BEGIN
    -- Charges are locked after accounts; one that is made has a lock as well.
    PERFORM keyauth.open_accounts(opened);
    INSERT INTO keyauth.charges
        (id, accounts, limits, soft, amount, lost_when_abandoned, status, until)
    VALUES (new_id, opened, new_limits, new_soft, new_amount, new_lost, 'given_back',
        clock_timestamp())
    ON CONFLICT (id) DO NOTHING;
    IF EXISTS (SELECT FROM keyauth.charges AS c WHERE c.id = new_id
        AND (c.accounts <> opened OR c.amount <> new_amount))
    THEN
        RETURN QUERY SELECT 'conflict', 0::bigint, 0::bigint, s.used, s.reserved, s.overrun,
            s.lost, s.began_at, s.ends_at
        FROM keyauth.account_states(opened) AS s;
    ELSE
        RETURN QUERY SELECT * FROM keyauth.settle_charge(new_id, new_amount);
    END IF;
END
$$;

-- Keeps reservations for longer.
CREATE FUNCTION keyauth.renew_charges(renewed text[], lasts interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
    PERFORM 1 FROM keyauth.charges WHERE id = ANY (renewed) ORDER BY id FOR NO KEY UPDATE;
    UPDATE keyauth.charges SET until = clock_timestamp() + lasts
        WHERE id = ANY (renewed) AND status = 'reserved' AND until > clock_timestamp();
END
$$;

-- Forgets some of the charges that were closed more than a day ago. Says how many.
CREATE FUNCTION keyauth.forget_charges() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM keyauth.charges WHERE id IN (
        SELECT id FROM keyauth.charges
        WHERE status <> 'reserved' AND until < clock_timestamp() - interval '1 day'
        ORDER BY until LIMIT 10000 FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- How budgets stand, after those charges are closed that were abandoned.
CREATE FUNCTION keyauth.budget_states(
    tenants text[], subjects text[], budgets text[], periods text[], zones text[]
)
RETURNS TABLE (
    used bigint, reserved bigint, overrun bigint, lost bigint,
    began_at timestamptz, ends_at timestamptz
)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
#variable_conflict use_column
DECLARE
    asked CONSTANT bigint[] := keyauth.find_accounts(tenants, subjects, budgets, periods, zones);
BEGIN
    PERFORM keyauth.close_abandoned(asked);
    RETURN QUERY SELECT s.used, s.reserved, s.overrun, s.lost, s.began_at, s.ends_at
        FROM keyauth.account_states(asked) AS s;
END
$$;

-- Begins a budget anew, or gives back what was lost of it alone. Its subject's version is raised,
-- so that whoever remembers it as exhausted asks again.
CREATE FUNCTION keyauth.reset_budget(
    of_tenant text, of_subject text, of_budget text, of_period text, of_zone text,
    only_lost boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    names CONSTANT text[] := string_to_array(of_subject, ' ');
    opened CONSTANT bigint[] := keyauth.find_accounts(ARRAY[of_tenant], ARRAY[of_subject],
        ARRAY[of_budget], ARRAY[of_period], ARRAY[of_zone]);
BEGIN
    PERFORM keyauth.close_abandoned(opened);
    PERFORM keyauth.open_accounts(opened);
    IF only_lost THEN
        UPDATE keyauth.accounts SET used = used - lost, lost = 0 WHERE id = ANY (opened);
    ELSE
        UPDATE keyauth.accounts
            SET began_at = NULL, ends_at = NULL, used = 0, overrun = 0, lost = 0
            WHERE id = ANY (opened);
    END IF;
    -- Who has had something of it that was lost is charged what he settles after all.
    UPDATE keyauth.charges SET status = 'given_back' WHERE status = 'lost' AND accounts && opened;
    -- To set a version to what none can be raises it.
    CASE names[1]
        WHEN 'key' THEN
            UPDATE keyauth.keys SET version = -1 WHERE tenant = of_tenant AND id = names[2]::uuid;
        WHEN 'owner' THEN
            UPDATE keyauth.owners SET version = -1 WHERE tenant = of_tenant AND id = names[2];
        WHEN 'member' THEN
            UPDATE keyauth.owners SET version = -1 WHERE tenant = of_tenant AND id = names[3];
        WHEN 'group' THEN
            UPDATE keyauth.groups SET version = -1 WHERE tenant = of_tenant AND id = names[2];
        WHEN 'tenant' THEN
            UPDATE keyauth.tenants SET version = -1 WHERE id = of_tenant;
        ELSE NULL;
    END CASE;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA keyauth FROM PUBLIC;
