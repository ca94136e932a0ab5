//! What core needs of the world, as traits that adapters implement.

mod audit_log;
mod clock;
mod directory;
mod feed;
mod guard;
mod hints;
mod imports;
mod key_query;
mod ledger;
mod limiter;
mod lookup;
mod meter;
mod observers;
mod once;
mod propagation;
mod shared_cache;
mod shared_limits;
mod store;
mod usage_log;
mod usage_reader;
mod usage_sums;

pub use audit_log::{AuditAction, AuditEntry, AuditLog, AuditQuery, AuditedThing};
pub use clock::{Clock, SystemClock};
pub use directory::{Directory, Page};
pub use feed::{
    Change, ChangeFeed, ChangeObserver, Continuity, FeedPage, FeedReader, Instance, Origin,
    SealKey, Subject,
};
pub use guard::Guard;
pub use hints::Hints;
pub use imports::{ImportStore, Importer, Recognition};
pub use key_query::{KeyOrder, KeyPosition, KeyQuery};
pub use ledger::{
    BudgetState, ChargedBudget, Ledger, LedgerError, LedgerErrorKind, NewCharge, Reserved, Settled,
    WhenAbandoned,
};
pub use limiter::{
    Exceeded, LimitDecision, LimitState, Limited, LimitedCall, Limiter, OwnedCall, Slots,
    TryAcquire, Within,
};
pub use lookup::{KeyLookup, Peek};
pub use meter::{
    CallDetails, Exhausted, Meter, MeteredCharge, NamedBy, Reservation, ReserveDecision, Settle,
    TryReserve,
};
pub use observers::ChangeObservers;
pub use once::{CreateOnce, RequestName};
pub use propagation::{Beats, Propagation, SilentInstance};
pub use shared_cache::{SharedCache, SharedEntry};
pub use shared_limits::{
    LeaseTurn, LeasedFrom, Seed, SharedDecision, SharedLease, SharedLeaseQuestion, SharedLimits,
    SharedPlace, SharedQuestion, SharedVerdict, UnusedLease,
};
pub use store::KeyStore;
pub use usage_log::{UsageBatch, UsageEvent, UsageLog, UsageTotal};
pub use usage_reader::UsageReader;
pub use usage_sums::UsageSums;
