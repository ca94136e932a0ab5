//! Keys with budgets, and a ledger that tells how often it was asked.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyauth_core::{
    Amount, Authenticator, Background, Budget, BudgetState, BudgetWindow, CallDetails, Charge,
    ChargeHold, ChargeId, ChargedBudget, Clock, IssuedKey, KeyStore, Ledger, LedgerError,
    LedgerErrorKind, MemoryLedger, MemoryStore, NewCharge, NewKey, RequestFacts, Reserved, Settled,
};
use keyauth_metering::LedgerMeter;
use tokio::time::{sleep, timeout};

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn units(units: i64) -> Amount {
    Amount::from_units(units).expect("an amount")
}

pub(crate) fn total(limit: i64) -> Budget {
    Budget::new(units(limit), BudgetWindow::Total)
}

/// Longer than anybody waits for an answer.
pub(crate) const LATE: Duration = Duration::from_secs(17);

/// A budget that nothing is ever answered about.
pub(crate) const STUCK: &str = "stuck";

/// A ledger that can be away. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    pub(crate) ledger: MemoryLedger,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    away: AtomicBool,
    silent: AtomicBool,
    forgetful: AtomicBool,
    late: AtomicBool,
    reserved: AtomicU32,
    renewed: AtomicU32,
}

impl Watched {
    /// By another clock.
    pub(crate) fn by(clock: Arc<dyn Clock>) -> Self {
        Self { ledger: MemoryLedger::with_clock(clock), ..Self::default() }
    }

    /// It answers with errors from now on, or not any more.
    pub(crate) fn be_away(&self, away: bool) {
        self.state.away.store(away, Ordering::SeqCst);
    }

    /// It does what it is asked to and does not answer, or answers again.
    pub(crate) fn be_silent(&self, silent: bool) {
        self.state.silent.store(silent, Ordering::SeqCst);
    }

    /// It reserves what it is asked to, long after anybody waits for that, or at once again.
    pub(crate) fn be_late(&self, late: bool) {
        self.state.late.store(late, Ordering::SeqCst);
    }

    /// It knows of no charge any more, as a replica that was promoted.
    pub(crate) fn be_forgetful(&self) {
        self.state.forgetful.store(true, Ordering::SeqCst);
    }

    /// How often it was asked to reserve since this was asked last.
    pub(crate) fn reserved(&self) -> u32 {
        self.state.reserved.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn renewed(&self) -> u32 {
        self.state.renewed.load(Ordering::SeqCst)
    }

    async fn answer(&self) -> Result<(), LedgerError> {
        while self.state.silent.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
        }
        if self.state.away.load(Ordering::SeqCst) {
            return Err(LedgerError::unavailable("it is away"));
        }
        Ok(())
    }
}

impl Ledger for Watched {
    async fn reserve(&self, charge: &NewCharge, lasts: Duration) -> Result<Reserved, LedgerError> {
        self.state.reserved.fetch_add(1, Ordering::SeqCst);
        if self.state.away.load(Ordering::SeqCst) {
            return Err(LedgerError::unavailable("it is away"));
        }
        if charge.budgets.iter().any(|charged| charged.budget.name == STUCK) {
            std::future::pending::<()>().await;
        }
        if self.state.late.load(Ordering::SeqCst) {
            let (ledger, charge) = (self.ledger.clone(), charge.clone());
            tokio::spawn(async move {
                sleep(LATE).await;
                ledger.reserve(&charge, lasts).await
            });
            std::future::pending::<()>().await;
        }
        let reserved = self.ledger.reserve(charge, lasts).await;
        self.answer().await?;
        reserved
    }

    async fn tidy(&self) -> Result<(), LedgerError> {
        self.answer().await?;
        self.ledger.tidy().await
    }

    async fn renew(&self, charges: &[ChargeId], lasts: Duration) -> Result<(), LedgerError> {
        self.answer().await?;
        self.state.renewed.fetch_add(1, Ordering::SeqCst);
        self.ledger.renew(charges, lasts).await
    }

    async fn settle(&self, charge: &ChargeId, amount: Amount) -> Result<Settled, LedgerError> {
        self.answer().await?;
        if self.state.forgetful.load(Ordering::SeqCst) {
            return Err(LedgerErrorKind::Unknown.into());
        }
        self.ledger.settle(charge, amount).await
    }

    async fn book(&self, charge: &NewCharge) -> Result<Settled, LedgerError> {
        self.answer().await?;
        self.ledger.book(charge).await
    }

    async fn states(&self, budgets: &[ChargedBudget]) -> Result<Vec<BudgetState>, LedgerError> {
        self.ledger.states(budgets).await
    }

    async fn reset(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        self.ledger.reset(budget).await
    }

    async fn give_back_lost(&self, budget: &ChargedBudget) -> Result<(), LedgerError> {
        self.ledger.give_back_lost(budget).await
    }
}

/// A process: a store, a meter over a ledger, and a key.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) ledger: Watched,
    pub(crate) key: Arc<IssuedKey>,
    auth: Authenticator,
    /// Locked so that requests on several threads can share a world.
    background: Mutex<Background>,
}

impl World {
    pub(crate) async fn new(budgets: impl IntoIterator<Item = Budget>) -> Self {
        Self::over(MemoryStore::new(), Watched::default(), budgets).await
    }

    pub(crate) async fn over(
        store: MemoryStore,
        ledger: Watched,
        budgets: impl IntoIterator<Item = Budget>,
    ) -> Self {
        let new = budgets.into_iter().fold(NewKey::named("budgeted"), NewKey::budget);
        let key = store.issue(new).await.expect("a key");
        Self::of(store, ledger, Arc::new(key))
    }

    /// Another process for the same key.
    pub(crate) fn of(store: MemoryStore, ledger: Watched, key: Arc<IssuedKey>) -> Self {
        Self::with_meter(store, LedgerMeter::new(ledger.clone()), ledger, key)
    }

    pub(crate) fn with_meter(
        store: MemoryStore,
        meter: LedgerMeter<Watched>,
        ledger: Watched,
        key: Arc<IssuedKey>,
    ) -> Self {
        let (auth, background) = Authenticator::new(store.clone()).with_meter(meter).start();
        Self { store, ledger, key, auth, background: Mutex::new(background) }
    }

    /// A request of the key's, that has begun.
    pub(crate) async fn request(&self) -> (Charge, ChargeHold) {
        self.request_of(&self.key).await
    }

    /// A request of another key's.
    async fn request_of(&self, key: &IssuedKey) -> (Charge, ChargeHold) {
        let verified = self.auth.verify(key.reveal(), &RequestFacts::new()).await;
        let admission = verified.expect("an answer").expect("admitted");
        self.auth.charge(&admission, CallDetails::default).expect("there is a meter")
    }

    /// A request that reserves, counts and ends. Says whether there was room.
    pub(crate) async fn spend(&self, reserved: Amount, spent: Amount) -> bool {
        self.spend_of(&self.key, reserved, spent).await
    }

    /// The same by another key.
    pub(crate) async fn spend_of(&self, key: &IssuedKey, reserved: Amount, spent: Amount) -> bool {
        let (charge, _hold) = self.request_of(key).await;
        if charge.reserve(reserved).await.expect("an answer").is_err() {
            return false;
        }
        charge.add(spent);
        true
    }

    pub(crate) async fn budgets(&self) -> Vec<ChargedBudget> {
        let verified = self.auth.verify(self.key.reveal(), &RequestFacts::new()).await;
        verified.expect("an answer").expect("admitted").record().charged_budgets()
    }

    /// How the first of its budgets stands.
    pub(crate) async fn state(&self) -> BudgetState {
        let states = self.ledger.states(&self.budgets().await).await.expect("an answer");
        states[0]
    }

    /// Waits until as much is used and reserved.
    pub(crate) async fn wait_for(&self, used: Amount, reserved: Amount) {
        let mut state = self.state().await;
        let waiting = async {
            while (state.used, state.reserved) != (used, reserved) {
                sleep(Duration::from_millis(5)).await;
                state = self.state().await;
            }
        };
        let in_time = timeout(PATIENCE, waiting).await.is_ok();
        assert!(in_time, "{state:?}, not {used} used and {reserved} reserved");
    }

    /// As a server does that owned the authenticator, and was dropped.
    pub(crate) async fn shutdown_without_service(self) {
        let Self { auth, background, .. } = self;
        drop(auth);
        background.into_inner().expect("no panic").shutdown().await;
    }

    pub(crate) async fn shutdown(self) -> Watched {
        self.background.into_inner().expect("no panic").shutdown().await;
        self.ledger
    }
}
