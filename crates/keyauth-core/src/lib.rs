//! API keys without a framework: what a key is, who is let through, and what that needs
//! of the world.
//!
//! Most people want the layer of `keyauth-tower` over a store like that of
//! `keyauth-sqlite`, and meet this crate for its words: [`NewKey`] to issue,
//! [`KeyStore`] to manage, [`Admission`] in a handler.
//!
//! ```
//! use keyauth_core::{Authenticator, KeyStore, MemoryStore, NewKey, RequestFacts};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let key = store.issue(NewKey::named("ci").owner("ada").scope("reports:read")).await?;
//! println!("shown once: {}", key.reveal());
//!
//! let auth = Authenticator::new(store.clone());
//! let decision = auth.verify(key.reveal(), &RequestFacts::new()).await?;
//! let admission = decision.expect("a fresh key is admitted");
//! assert_eq!(admission.owner().as_str(), "ada");
//!
//! store.revoke(&key).await?;
//! assert!(auth.verify(key.reveal(), &RequestFacts::new()).await?.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! The rules it decides by:
//!
//! * "No" is a [`Denial`]; "no answer" is a [`LookupError`]. They never meet in one type.
//! * [`admit`] is a pure function of record, request and time.
//! * A plaintext key lives in [`PlaintextKey`] and nowhere else; stores see digests.
//! * The world is reached through ports: [`KeyLookup`], [`KeyStore`], [`Directory`],
//!   [`Clock`]. Nothing here reads a clock of its own, spawns, or knows HTTP.

mod auth;
mod error;
mod id;
mod issue;
mod key;
mod ledger;
mod memory;
mod meter;
mod policy;
mod port;
mod record;
mod rule;
mod time;
mod usage;
mod zone;

pub use auth::{
    Admission, Authenticator, Background, Explained, Explanation, FoundIn, LimitFuture, LimitStep,
    LookupFuture,
};
pub use error::{LookupError, LookupErrorKind, StoreError, StoreErrorKind};
pub use id::{Actor, BatchId, ChargeId, GroupId, InvalidId, KeyId, OwnerId, SecretId, TenantId};
pub use issue::{
    BoundKeys, CustomKeyGuesses, Draft, GroupUpdate, ImportedSecret, InvalidInput, IssuedKey,
    Issuer, KeyPatch, KeyUpdate, NewImport, NewKey, NewSecret, OwnerUpdate, Patch, Problem,
    Rotation, SecretKind, TenantUpdate,
};
pub use key::{
    DigestScheme, HashAlgorithm, ImportedHash, InvalidImportedHash, InvalidPrefix, KeyDigest,
    KeyHint, KeyPrefix, Keyring, Parsed, Pepper, PlaintextKey, PresentedKey,
};
pub use ledger::{AccountName, BudgetAccount, ChargeStatus, ChargedAccounts};
pub use memory::{MemoryFeedReader, MemoryLedger, MemoryStore};
pub use meter::{Answered, Charge, ChargeHold};
pub use policy::{Denial, RequestFacts, Station, StationVerdict, admit, explain};
pub use port::{
    AuditAction, AuditEntry, AuditLog, AuditQuery, AuditedThing, Beats, BudgetState, CallDetails,
    Change, ChangeFeed, ChangeObserver, ChangeObservers, ChargedBudget, Clock, Continuity,
    CreateOnce, Directory, Exceeded, Exhausted, FeedPage, FeedReader, Guard, Hints, ImportStore,
    Importer, Instance, KeyLookup, KeyOrder, KeyPosition, KeyQuery, KeyStore, LeaseTurn,
    LeasedFrom, Ledger, LedgerError, LedgerErrorKind, LimitDecision, LimitState, Limited,
    LimitedCall, Limiter, Meter, MeteredCharge, NamedBy, NewCharge, Origin, OwnedCall, Page, Peek,
    Propagation, Recognition, RequestName, Reservation, ReserveDecision, Reserved, SealKey, Seed,
    Settle, Settled, SharedCache, SharedDecision, SharedEntry, SharedLease, SharedLeaseQuestion,
    SharedLimits, SharedPlace, SharedQuestion, SharedVerdict, SilentInstance, Slots, Subject,
    SystemClock, TryAcquire, TryReserve, UnusedLease, UsageBatch, UsageEvent, UsageLog,
    UsageReader, UsageSums, UsageTotal, WhenAbandoned, Within,
};
pub use record::{
    Amount, AppliedBudget, AppliedLimit, Budget, BudgetMode, BudgetWindow, Counted, CustomKeys,
    Group, GroupAccess, GroupKind, InvalidAmount, InvalidRateMultiplier, Key, KeyRecord, KeyRef,
    KeyStatus, LastUse, Limit, LimitCount, LimitSubject, LimitUnit, LimitWindow, LimitedSubject,
    Memo, Metadata, Owner, RateMultiplier, Status, Subscription, Tenant, UnknownWord, Version,
    Versions,
};
pub use rule::{
    AddressRules, AddressSet, EndpointRule, EndpointRules, InvalidScope, ResourceRules, Scope,
    Scopes,
};
pub use time::{InvalidTimestamp, Timestamp};
pub use usage::{UsageDimension, UsageExport, UsageLine, UsageQuery, UsageSlice};
pub use zone::{Period, TimeZone, UnknownTimeZone};
