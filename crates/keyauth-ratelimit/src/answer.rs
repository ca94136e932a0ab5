//! What limits say to a request that exceeds them.

use std::time::Duration;

use keyauth_core::{Denial, Exceeded, LimitState, LimitWindow, Limited};

/// How often to try again where nothing but the end of a call under way, or a change of the
/// limit, makes room.
pub(crate) const SOON: Duration = Duration::from_secs(1);

/// The refusal of limits that stand so, some of which exceed; `wait` is `None` where no wait
/// would help.
pub(crate) fn exceeded(
    limited: &Limited,
    states: Vec<LimitState>,
    wait: Option<Duration>,
) -> Exceeded {
    let refusing = || {
        let exceeded = states.iter().filter(|state| state.exceeded);
        exceeded.filter_map(|state| Some((state, limited.limits().get(state.at)?.limit.window)))
    };
    let at_once_alone = refusing().all(|(_, window)| window == LimitWindow::AtOnce);
    let denial = if at_once_alone { Denial::ConcurrencyLimited } else { Denial::RateLimited };
    // Where no wait helps somebody may change the limit; until then, seldom is better than often.
    let length = |(state, window): (&LimitState, LimitWindow)| match window {
        LimitWindow::Rolling(length) | LimitWindow::Smooth { period: length, .. } => length,
        _ => state.resets_after.max(SOON),
    };
    let retry_after = wait.unwrap_or_else(|| refusing().map(length).max().unwrap_or(SOON));
    Exceeded { denial, retry_after, states }
}
