//! What is compared, by its name.

pub(crate) mod layer;
mod limits;
mod money;
pub(crate) mod server;
mod shared_cache;
pub(crate) mod store;

use crate::bench::Bench;
use crate::report::Row;

/// Measures one row, or says what is missing for that.
pub(crate) type Measure = fn(&Bench) -> Result<Row, String>;

/// All of them, in the order in which they are measured.
pub(crate) const ALL: &[(&str, Measure)] = &[
    ("l1_hit_layer", layer::hit),
    ("l1_hit_16_limits_1000_cidrs", layer::ruled),
    ("l1_hit_two_threads", layer::two_threads),
    ("malformed_key", layer::malformed),
    ("unknown_key_negative", layer::unknown),
    ("tower_http_bearer", layer::tower_http),
    ("tower_governor", limits::tower_governor),
    ("leased_vs_local", limits::leased),
    ("limiter_shared", limits::shared),
    ("l2_hit_deadpool", shared_cache::deadpool),
    ("l2_hit_fred", shared_cache::fred),
    ("store_hit_postgres", store::postgres),
    ("store_hit_sqlite", store::sqlite),
    ("miss_10m_vs_10k", store::growth),
    ("hard_charge", money::hard_charge),
    ("usage_writer", money::usage_writer),
    ("axum_throughput", server::axum),
    ("forward_auth_throughput", server::forward_auth),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}
