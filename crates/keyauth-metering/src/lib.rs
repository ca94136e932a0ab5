//! Money budgets: reserved before something is made, settled by what it came to, never overspent.
//!
//! ```
//! use keyauth_core::{
//!     Amount, Authenticator, Budget, BudgetWindow, CallDetails, KeyStore, MemoryLedger,
//!     MemoryStore, NewKey, RequestFacts,
//! };
//! use keyauth_metering::LedgerMeter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let ten = Budget::new(Amount::from_units(10).expect("an amount"), BudgetWindow::Day);
//! let key = store.issue(NewKey::named("ada").budget(ten)).await?;
//!
//! let meter = LedgerMeter::new(MemoryLedger::new());
//! let (auth, background) = Authenticator::new(store).with_meter(meter).start();
//! let admission = auth.verify(key.reveal(), &RequestFacts::new()).await?.expect("admitted");
//!
//! let (charge, hold) = auth.charge(&admission, CallDetails::default).expect("there is a meter");
//! assert!(charge.reserve("7.5".parse()?).await?.is_ok());
//! assert!(charge.reserve("7.5".parse()?).await?.is_err(), "there is not as much left");
//! charge.add("0.25".parse()?);
//! drop(hold); // The response has ended: a quarter is charged, and the rest is given back.
//! background.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The rules it keeps:
//!
//! * The [ledger](keyauth_core::Ledger) decides. What is exhausted is its answer, and remembered
//!   here only as long as nothing can have changed: until the window ends, the limit is another, or
//!   the subject's version in the record is; for five seconds at most.
//! * What is reserved is renewed every 20 seconds, all of it in one call, and lasts for 60. So a
//!   stream of minutes keeps it, and what a process held that is dead comes back.
//! * Its place in the queue to be settled comes with the reservation, so that the end of a request
//!   never waits and never fails. While the ledger is away what is settled waits for it.
//! * Of [leased](keyauth_core::BudgetMode::Leased) budgets this process takes some ahead, which it
//!   gives back after 10 seconds as far as it was not spent. What it held when it died counts as
//!   lost: used, and given back by an operator alone.
//! * A ledger that does not answer within a second is no answer, which is not "no".

mod accounts;
mod books;
mod exhausted;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod held;
#[cfg(all(test, shuttle))]
mod interleavings;
mod leases;
mod meter;
mod reserving;
mod settling;
mod sync;
mod usage;

pub use meter::LedgerMeter;
pub use usage::UsageRecorder;
