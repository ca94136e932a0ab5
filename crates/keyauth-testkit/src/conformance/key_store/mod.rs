//! The cases of [`key_store_conformance!`](crate::key_store_conformance).
//!
//! Called by the macro; each takes a store that was just opened.

mod allowance;
pub(super) mod bench;
mod deleting;
mod directory;
mod lifecycle;
mod listing;
mod races;
mod records;
mod secrets;
mod tenancy;

pub use allowance::{
    guessing_custom_keys_is_slow, losing_a_race_is_a_guess, owners_have_as_many_keys_as_they_may,
};
pub use bench::Bench;
pub use deleting::{
    deleted_groups_are_in_use_or_let_go, deleted_keys_are_gone_and_free_their_secret,
    deleted_owners_keys_are_revoked, no_key_outlives_its_owner,
};
pub use directory::{
    keys_are_bound_to_groups_that_are_open_to_their_owner,
    updates_of_the_directory_change_what_they_name, what_is_kept_is_read_back,
};
pub use lifecycle::{
    disabled_keys_can_be_enabled, keys_cannot_end_before_they_begin, revoked_keys_stay_revoked,
    rotation_ends_old_secrets,
};
pub use listing::{
    keys_are_found_by_what_they_begin_with, lists_are_narrowed, pages_hold_every_key_once,
};
pub use races::{changes_at_once_all_count, one_of_many_custom_keys_wins};
pub use records::{
    empty_lists_clear_and_invalid_ones_change_nothing, issued_keys_are_found_by_their_text_alone,
    odd_texts_stay_texts, records_carry_everything, updates_write_only_what_they_name,
};
pub use secrets::{
    custom_keys_need_permission_and_are_unique, old_and_new_peppers_work_side_by_side,
};
pub use tenancy::{
    budgets_of_all_it_belongs_to_apply, limits_of_all_it_belongs_to_apply,
    other_tenants_keys_are_not_found, owners_tenants_and_groups_decide,
    what_does_not_exist_is_named,
};
