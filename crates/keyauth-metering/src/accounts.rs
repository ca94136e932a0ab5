//! What this process knows of budgets.

use std::time::Duration;

use keyauth_core::{AccountName, Amount, BudgetState, Timestamp};
use papaya::HashMap;
use tokio::sync::Semaphore;

use crate::exhausted::{Exhaustion, Terms};
use crate::leases::Stock;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long one is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(60);

/// How long it is not asked again for what others hold.
const JUST: Duration = Duration::from_millis(100);
/// For how many the ledger is asked at once: one is served while others are on their way.
const TURNS: usize = 4;

/// All of them, by name.
#[derive(Debug, Default)]
pub(crate) struct Accounts(HashMap<AccountName, Arc<Account>>);

/// What is known of one budget of one subject.
#[derive(Debug)]
pub(crate) struct Account {
    known: Mutex<Known>,
    stock: Mutex<Stock>,
    /// Held by whoever asks for more of it, so that one does for all who wait.
    pub(crate) asking: tokio::sync::Mutex<()>,
    /// Held by those whom the ledger is asked for: it does one after the other, and more of them
    /// would only keep others from its connections.
    pub(crate) turns: Arc<Semaphore>,
    /// When it was last asked for, in milliseconds of uptime.
    asked_for: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    exhaustion: Option<Exhaustion>,
    /// How much the ledger said last that was left.
    remaining: Option<Amount>,
    /// When it refused something last, in uptime.
    refused_at: Option<Duration>,
}

impl Accounts {
    pub(crate) fn of(&self, name: AccountName, uptime: Duration) -> Arc<Account> {
        let accounts = self.0.pin();
        let account = Arc::clone(accounts.get_or_insert_with(name, Arc::default));
        account.asked_for.store(millis(uptime), Ordering::Relaxed);
        account
    }

    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        self.0.pin().values().cloned().collect()
    }

    /// Forgets those that nobody asks for, and that hold nothing.
    pub(crate) fn tidy(&self, uptime: Duration) {
        let long_ago = millis(uptime.saturating_sub(KEPT));
        self.0.pin().retain(|_, account| {
            let asked_for = account.asked_for.load(Ordering::Relaxed) >= long_ago;
            if asked_for || Arc::strong_count(account) > 1 {
                return true;
            }
            let mut stock = account.stock();
            if stock.is_empty() {
                // Whoever has got hold of it in this moment puts nothing into it any more.
                stock.close();
            }
            !stock.is_empty()
        });
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            stock: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            asked_for: AtomicU64::new(0),
        }
    }
}

impl Account {
    pub(crate) fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known to refuse an amount.
    pub(crate) fn exhaustion(
        &self,
        of: Terms,
        amount: Amount,
        now: Timestamp,
        uptime: Duration,
    ) -> Option<Exhaustion> {
        let mut known = self.known();
        let exhaustion = known.exhaustion?;
        if !exhaustion.holds(of, now, uptime) {
            known.exhaustion = None;
            return None;
        }
        exhaustion.refuses(amount).then_some(exhaustion)
    }

    /// Takes note of how the budget stood when it refused an amount.
    pub(crate) fn refused(&self, of: Terms, state: &BudgetState, amount: Amount, uptime: Duration) {
        let mut known = self.known();
        known.remaining = Some(state.remaining());
        known.refused_at = Some(uptime);
        if let Some(exhaustion) = Exhaustion::told_by(of, state, amount, uptime) {
            known.exhaustion = Some(exhaustion);
        }
    }

    pub(crate) fn stands(&self, state: &BudgetState) {
        let mut known = self.known();
        known.remaining = Some(state.remaining());
        known.refused_at = None;
    }

    /// Whether the ledger has just said that there is less left than this: all who wait for more of
    /// a leased budget would be told the same, one after the other.
    pub(crate) fn has_just_refused(&self, amount: Amount, uptime: Duration) -> bool {
        let known = self.known();
        let recently = |at: Duration| uptime.saturating_sub(at) < JUST;
        known.refused_at.is_some_and(recently) && known.remaining.is_some_and(|left| left < amount)
    }

    pub(crate) fn remaining(&self) -> Option<Amount> {
        self.known().remaining
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)
}
