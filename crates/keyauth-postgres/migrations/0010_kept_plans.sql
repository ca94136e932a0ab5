-- Plans of the ledger's functions are made once for each connection. PostgreSQL would plan most of
-- their statements at each call, which took more time than to run them, since it guesses ten
-- elements in a list that has one.
--
-- A plan that is kept must be right however much the tables grow: where they are small, it would be
-- to read them whole. All of these statements have an index, and few rows.
--
-- Whoever replaces one of these functions says so again, since it loses its settings.

INSERT INTO keyauth.migrations (version, name) VALUES (10, 'kept plans');

DO $$
DECLARE
    name regproc;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'keyauth.find_accounts', 'keyauth.make_accounts', 'keyauth.open_accounts',
        'keyauth.account_states', 'keyauth.budget_states', 'keyauth.reserve_charge',
        'keyauth.settle_charge', 'keyauth.book_charge', 'keyauth.renew_charges',
        'keyauth.abandon_charge', 'keyauth.close_abandoned', 'keyauth.close_some_abandoned'
    ]::regproc[] LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan SET enable_seqscan = off '
            'SET enable_hashjoin = off SET enable_mergejoin = off',
            name
        );
    END LOOP;
END
$$;
