//! Limits in the words of HTTP: the fields `RateLimit` and `RateLimit-Policy` of
//! draft-ietf-httpapi-ratelimit-headers-10, and the older `X-RateLimit-*`.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use keyauth_core::{AppliedLimit, Counted, LimitCount, LimitState, LimitUnit, LimitWindow};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MOST: u64 = 999_999_999_999_999;

/// What clients are told of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Also where a request is within its limits.
    pub(crate) on_success: bool,
    /// Also in `X-RateLimit-*`.
    pub(crate) x_headers: bool,
}

/// Headers that tell how limits stand.
pub(crate) type LimitHeaders = Vec<(HeaderName, HeaderValue)>;

/// The headers, and the names of the limits that are exceeded.
pub(crate) fn tell(
    limits: &[AppliedLimit],
    states: &[LimitState],
    telling: Telling,
) -> (LimitHeaders, Vec<String>) {
    let (mut policy, mut standing) = (String::new(), String::new());
    let mut exceeded = Vec::new();
    let mut tightest: Option<(u64, &LimitState)> = None;
    for state in states {
        let Some(applied) = limits.get(state.at) else { continue };
        let LimitCount::AtMost(count) = applied.limit.count else { continue };
        let name = name(applied);
        if state.exceeded {
            exceeded.push(name.clone());
        }
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        let separator = if policy.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(policy, "{separator}\"{quoted}\";q={}", count.min(MOST));
        if let Some(seconds) = whole_seconds(applied.limit.window) {
            let _ = write!(policy, ";w={seconds}");
        }
        if let Some(unit) = unit(applied) {
            let _ = write!(policy, ";qu=\"{unit}\"");
        }
        let remaining = state.remaining.min(count);
        let _ = write!(standing, "{separator}\"{quoted}\";r={}", remaining.min(MOST));
        if !state.resets_after.is_zero() {
            let _ = write!(standing, ";t={}", rounded_up(state.resets_after));
        }
        let tighter = |(_, other): (u64, &LimitState)| {
            (!state.exceeded, state.remaining) < (!other.exceeded, other.remaining)
        };
        if tightest.is_none_or(tighter) {
            tightest = Some((count, state));
        }
    }
    let Some((count, state)) = tightest else { return (LimitHeaders::new(), exceeded) };
    let text = |name, text: String| HeaderValue::try_from(text).ok().map(|value| (name, value));
    let mut headers = LimitHeaders::with_capacity(5);
    headers.extend(text(RATELIMIT_POLICY, policy));
    headers.extend(text(RATELIMIT, standing));
    if telling.x_headers {
        headers.push((X_LIMIT, count.into()));
        headers.push((X_REMAINING, state.remaining.min(count).into()));
        headers.push((X_RESET, rounded_up(state.resets_after).into()));
    }
    (headers, exceeded)
}

/// The limit's name; with whose it is, where that is not the key alone.
fn name(applied: &AppliedLimit) -> String {
    let whose = match applied.counted {
        Counted::Key => return applied.limit.name.clone(),
        Counted::Member | Counted::Owner => "owner",
        Counted::Group => "group",
        _ => "tenant",
    };
    format!("{whose}/{}", applied.limit.name)
}

/// The window in seconds, where it is one of whole seconds and always as long.
fn whole_seconds(window: LimitWindow) -> Option<u64> {
    match window {
        LimitWindow::Rolling(length) | LimitWindow::Smooth { period: length, .. } => {
            (length.subsec_nanos() == 0).then_some(length.as_secs())
        }
        _ => None,
    }
}

/// What is counted, where it is not requests.
fn unit(applied: &AppliedLimit) -> Option<&'static str> {
    match (applied.limit.window, applied.limit.unit) {
        (LimitWindow::AtOnce, _) => Some("concurrent-requests"),
        (_, LimitUnit::Cost) => Some("cost"),
        _ => None,
    }
}

/// Whole seconds, so that nobody comes back a moment too early.
pub(crate) fn rounded_up(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}
