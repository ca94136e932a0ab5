//! What every implementation of a port must do, as tests to run against it.

pub mod audit_log;
pub mod change_feed;
mod clock;
pub mod create_once;
pub mod import_store;
pub mod key_store;
pub mod ledger;
pub mod limiter;
pub mod shared;
pub mod usage_log;

pub use clock::check_clock;

/// Runs the conformance suite of [`KeyStore`](keyauth_core::KeyStore),
/// [`KeyLookup`](keyauth_core::KeyLookup) and [`Directory`](keyauth_core::Directory)
/// against a store, one test a case.
///
/// It takes a function that opens an empty store which issues by the given issuer, and
/// gives back the store and whatever must live as long:
///
/// ```text
/// async fn open(issuer: Issuer) -> (MemoryStore, ()) {
///     (MemoryStore::with_issuer(issuer), ())
/// }
///
/// keyauth_testkit::key_store_conformance!(open);
/// ```
///
/// The crate that uses it needs `tokio` with its macros and multi-threaded runtime.
#[macro_export]
macro_rules! key_store_conformance {
    ($open:path) => {
        $crate::key_store_conformance! { $open:
            issued_keys_are_found_by_their_text_alone,
            records_carry_everything,
            updates_write_only_what_they_name,
            empty_lists_clear_and_invalid_ones_change_nothing,
            keys_cannot_end_before_they_begin,
            disabled_keys_can_be_enabled,
            revoked_keys_stay_revoked,
            rotation_ends_old_secrets,
            deleted_keys_are_gone_and_free_their_secret,
            other_tenants_keys_are_not_found,
            what_does_not_exist_is_named,
            owners_tenants_and_groups_decide,
            limits_of_all_it_belongs_to_apply,
            budgets_of_all_it_belongs_to_apply,
            what_is_kept_is_read_back,
            updates_of_the_directory_change_what_they_name,
            keys_are_bound_to_groups_that_are_open_to_their_owner,
            deleted_owners_keys_are_revoked,
            no_key_outlives_its_owner,
            deleted_groups_are_in_use_or_let_go,
            custom_keys_need_permission_and_are_unique,
            guessing_custom_keys_is_slow,
            losing_a_race_is_a_guess,
            owners_have_as_many_keys_as_they_may,
            old_and_new_peppers_work_side_by_side,
            pages_hold_every_key_once,
            keys_are_found_by_what_they_begin_with,
            lists_are_narrowed,
            changes_at_once_all_count,
            one_of_many_custom_keys_wins,
            odd_texts_stay_texts,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (bench, issuer) = $crate::conformance::key_store::Bench::new();
            let (store, _guard) = $open(issuer).await;
            $crate::conformance::key_store::$case(bench, store).await;
        }
    )*};
}

/// Runs the conformance suite of [`ChangeFeed`](keyauth_core::ChangeFeed) against a store that
/// is a [`KeyStore`](keyauth_core::KeyStore) and [`Directory`](keyauth_core::Directory) too,
/// one test a case.
///
/// It takes the same function as [`key_store_conformance!`](crate::key_store_conformance).
#[macro_export]
macro_rules! change_feed_conformance {
    ($open:path) => {
        $crate::change_feed_conformance! { $open:
            changes_are_told_to_every_reader,
            records_carry_the_versions_told,
            observers_are_told_at_once,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (bench, issuer) = $crate::conformance::key_store::Bench::new();
            let (store, _guard) = $open(issuer).await;
            $crate::conformance::change_feed::$case(bench, store).await;
        }
    )*};
}

/// Runs the conformance suite of [`AuditLog`](keyauth_core::AuditLog) against a store that is a
/// [`KeyStore`](keyauth_core::KeyStore) and [`Directory`](keyauth_core::Directory) too, one test
/// a case.
///
/// It takes the same function as [`key_store_conformance!`](crate::key_store_conformance).
#[macro_export]
macro_rules! audit_log_conformance {
    ($open:path) => {
        $crate::audit_log_conformance! { $open:
            every_change_is_noted_once,
            entries_say_who_changed_what,
            no_secret_is_noted,
            entries_are_found_by_whom_they_are_of,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (bench, issuer) = $crate::conformance::key_store::Bench::new();
            let (store, _guard) = $open(issuer).await;
            $crate::conformance::audit_log::$case(bench, store).await;
        }
    )*};
}

/// Runs the conformance suite of [`CreateOnce`](keyauth_core::CreateOnce) against a store that is an
/// [`ImportStore`](keyauth_core::ImportStore) and a [`Directory`](keyauth_core::Directory) too, one
/// test a case.
///
/// It takes the same function as [`key_store_conformance!`](crate::key_store_conformance).
#[macro_export]
macro_rules! create_once_conformance {
    ($open:path) => {
        $crate::create_once_conformance! { $open:
            a_request_is_done_once,
            names_are_ones_own,
            what_was_refused_can_be_asked_for_again,
            one_of_many_at_once_is_done,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (bench, issuer) = $crate::conformance::import_store::bench();
            let (store, _guard) = $open(issuer).await;
            $crate::conformance::create_once::$case(bench, store).await;
        }
    )*};
}

/// Runs the conformance suite of [`ImportStore`](keyauth_core::ImportStore) against a store that
/// is a [`Directory`](keyauth_core::Directory) too, one test a case.
///
/// It takes the same function as [`key_store_conformance!`](crate::key_store_conformance).
#[macro_export]
macro_rules! import_store_conformance {
    ($open:path) => {
        $crate::import_store_conformance! { $open:
            imported_keys_are_known_once_they_are_presented,
            imported_secrets_end_like_any_others,
            what_cannot_be_imported_is_named,
            few_slow_hashes_begin_alike,
            many_may_be_the_first,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (bench, issuer) = $crate::conformance::import_store::bench();
            let (store, _guard) = $open(issuer).await;
            $crate::conformance::import_store::$case(bench, store).await;
        }
    )*};
}

/// Runs the conformance suite of [`SharedCache`](keyauth_core::SharedCache), one test a case.
///
/// It takes a function that gives an empty cache, and whatever must live as long.
#[macro_export]
macro_rules! shared_cache_conformance {
    ($open:path) => {
        $crate::shared_cache_conformance! { $open:
            what_was_put_is_found,
            nothing_is_written_over_what_is_newer,
            entries_end,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (cache, _guard) = $open().await;
            $crate::conformance::shared::$case(cache).await;
        }
    )*};
}

/// Runs the conformance suite of [`Limiter`](keyauth_core::Limiter), one test a case.
///
/// It takes a function that gives a limiter, and whatever must live as long.
#[macro_export]
macro_rules! limiter_conformance {
    ($open:path) => {
        $crate::limiter_conformance! { $open:
            a_limit_lets_through_exactly_its_count,
            a_call_that_one_limit_refuses_is_counted_by_none,
            who_waits_as_told_passes,
            costs_are_taken_as_a_whole,
            the_ends_of_the_scale_are_sane,
            a_limit_that_is_changed_goes_on_counting,
            places_at_once_come_back,
            what_was_used_is_told_and_reset,
            names_that_look_alike_are_not_one,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (limiter, _guard) = $open().await;
            $crate::conformance::limiter::$case(limiter).await;
        }
    )*};
}

/// Runs the conformance suite of [`Ledger`](keyauth_core::Ledger), one test a case.
///
/// It takes a function that gives a ledger, and whatever must live as long.
#[macro_export]
macro_rules! ledger_conformance {
    ($open:path) => {
        $crate::ledger_conformance! { $open:
            what_is_reserved_is_settled_by_what_it_came_to,
            charges_at_once_never_exceed_a_hard_budget,
            a_charge_is_made_of_all_its_budgets_or_of_none,
            what_is_asked_twice_is_done_once,
            what_comes_to_more_is_charged_as_far_as_there_is_room,
            what_was_not_reserved_is_booked_as_far_as_there_is_room,
            soft_budgets_are_charged_whatever_it_comes_to,
            reservations_come_back_when_nobody_renews_them,
            what_is_lost_counts_as_used,
            what_is_raised_or_reset_counts_at_once,
            budgets_of_one_name_are_told_apart,
            the_ends_of_the_scale_of_money_are_sane,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (ledger, _guard) = $open().await;
            $crate::conformance::ledger::$case(ledger).await;
        }
    )*};
}

/// Runs the conformance suite of [`UsageLog`](keyauth_core::UsageLog) and
/// [`UsageReader`](keyauth_core::UsageReader), one test a case.
///
/// It takes a function that gives an empty store that is both as well, and whatever must live as
/// long.
#[macro_export]
macro_rules! usage_log_conformance {
    ($open:path) => {
        $crate::usage_log_conformance! { $open:
            a_batch_is_written_once,
            large_figures_add_up,
            totals_are_of_whom_they_are_asked_for,
            periods_are_exact,
            use_is_noted_with_a_batch_and_never_goes_back,
            uses_at_once_are_noted_to_the_minute,
            using_a_key_is_no_change,
            series_add_up,
            too_many_lines_are_refused,
            calls_are_read_in_order,
            calls_go_and_sums_stay,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (store, _guard) = $open().await;
            $crate::conformance::usage_log::$case(store).await;
        }
    )*};
}

/// Runs the conformance suite of [`Hints`](keyauth_core::Hints), one test a case.
///
/// It takes a function that gives the hints of two instances, and whatever must live as long.
#[macro_export]
macro_rules! hints_conformance {
    ($open:path) => {
        $crate::hints_conformance! { $open:
            a_change_here_is_a_sign_there,
        }
    };
    ($open:path: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (hints, _guard) = $open().await;
            $crate::conformance::shared::$case(hints).await;
        }
    )*};
}
