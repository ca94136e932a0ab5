//! What operators see of the cache: events, and metrics (feature `metrics`).

use std::time::Duration;

use keyauth_core::LookupError;

/// Where an answer came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layer {
    /// This process's cache.
    Process,
    /// What it knows not to exist.
    Unknown,
    /// The cache that instances share.
    Shared,
    /// This process's cache, although the store does not answer.
    Outage,
}

macro_rules! count {
    ($name:literal $(, $label:literal => $value:expr)*) => {
        #[cfg(feature = "metrics")]
        metrics::counter!($name $(, $label => $value)*).increment(1);
    };
}

pub(crate) fn hit(layer: Layer) {
    // Each with its label in writing: one that is only known at run time costs an allocation.
    match layer {
        Layer::Process => {
            count!("keyauth_cache_hits_total", "layer" => "process");
        }
        Layer::Unknown => {
            count!("keyauth_cache_hits_total", "layer" => "unknown");
        }
        Layer::Shared => {
            count!("keyauth_cache_hits_total", "layer" => "shared");
        }
        Layer::Outage => {
            count!("keyauth_cache_hits_total", "layer" => "outage");
        }
    }
}

/// The store was asked, and this came of it.
pub(crate) fn loaded(outcome: &'static str) {
    count!("keyauth_cache_loads_total", "outcome" => outcome);
    let _ = outcome;
}

/// A caller waited for the load of another one.
pub(crate) fn shared_load() {
    count!("keyauth_cache_shared_loads_total");
}

/// A loaded record was older than a change already applied.
pub(crate) fn rejected_fill(from: &'static str) {
    count!("keyauth_cache_rejected_fills_total", "from" => from);
    tracing::debug!(from, "a record was older than a change already known");
}

pub(crate) fn evicted(reason: &'static str) {
    count!("keyauth_cache_evictions_total", "reason" => reason);
    let _ = reason;
}

pub(crate) fn refused_shared_entry(first: bool) {
    count!("keyauth_cache_refused_shared_entries_total");
    if first {
        tracing::warn!("the shared cache held a record that is damaged, foreign or too old");
    } else {
        tracing::debug!("the shared cache held another such record");
    }
}

pub(crate) fn shared_cache_failed(error: &LookupError, first: bool) {
    count!("keyauth_cache_shared_failures_total");
    let source = std::error::Error::source(error).map(tracing::field::display);
    if first {
        tracing::warn!(source, "the shared cache did not answer; the store is asked");
    } else {
        tracing::debug!(source, "the shared cache did still not answer");
    }
}

/// A poll has brought a change so long after it was made.
pub(crate) fn propagated(age: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("keyauth_change_propagation_seconds").record(age.as_secs_f64());
    tracing::trace!(?age, "a change was applied");
}

pub(crate) fn polled(lease_held: bool, marks: u64) {
    lease(lease_held);
    #[cfg(feature = "metrics")]
    {
        let marks = u32::try_from(marks).unwrap_or(u32::MAX);
        metrics::gauge!("keyauth_cache_marks").set(f64::from(marks));
    }
    let _ = marks;
}

pub(crate) fn lease(held: bool) {
    #[cfg(feature = "metrics")]
    metrics::gauge!("keyauth_cache_lease_held").set(f64::from(u8::from(held)));
    let _ = held;
}

pub(crate) fn poll_failed(error: &LookupError, lease_held: bool, first: bool) {
    count!("keyauth_cache_poll_failures_total");
    lease(lease_held);
    let source = std::error::Error::source(error).map(tracing::field::display);
    // Each failure of an outage would be a line a second.
    if first {
        tracing::warn!(
            source,
            "changes to keys could not be polled; when the lease has ended, each request asks \
             the store"
        );
    } else {
        tracing::debug!(source, "changes to keys could still not be polled");
    }
}

pub(crate) fn poll_recovered() {
    tracing::info!("changes to keys are polled again");
}

/// All that was cached has to go.
pub(crate) fn broke() {
    count!("keyauth_cache_breaks_total");
}

pub(crate) fn broke_off() {
    tracing::warn!("changes may have been missed; everything cached was dropped");
}

pub(crate) fn not_started() {
    tracing::warn!(
        "the key cache was never started, so each request asks the store; add \
         `let (auth, background) = Authenticator::new(lookup).start();`"
    );
}
