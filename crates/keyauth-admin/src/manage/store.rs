//! Stores behind a pointer, so that handlers are compiled once and name no type of a store.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use keyauth_core::{
    Actor, AuditEntry, AuditLog, AuditQuery, BoundKeys, BudgetState, ChangeFeed, ChargedBudget,
    CreateOnce, Directory, Group, GroupId, GroupUpdate, ImportStore, ImportedSecret, IssuedKey,
    Key, KeyQuery, KeyRecord, KeyRef, KeyStore, KeyUpdate, Ledger, LedgerError, LedgerErrorKind,
    NewKey, Owner, OwnerId, OwnerUpdate, Page, Propagation, RequestName, Rotation, StoreError,
    Subscription, Tenant, TenantId, TenantUpdate, UsageReader,
};

/// A store that can be managed: all ports that the API stands on, in one.
pub trait ManagedStore:
    KeyStore
    + ImportStore
    + CreateOnce
    + Directory
    + AuditLog
    + ChangeFeed
    + Ledger
    + UsageReader
    + Clone
    + 'static
{
}

impl<S> ManagedStore for S where
    S: KeyStore
        + ImportStore
        + CreateOnce
        + Directory
        + AuditLog
        + ChangeFeed
        + Ledger
        + UsageReader
        + Clone
        + 'static
{
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Gives every call its object-safe twin: what it takes, what it gives, and how it is made.
macro_rules! erased {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty = |$store:ident| $call:expr;)*) => {
        /// A [`ManagedStore`] behind a pointer.
        pub(super) trait DynStore: Send + Sync {
            fn acting_as(&self, actor: Actor) -> Arc<dyn DynStore>;

            fn once(&self, request: RequestName) -> Arc<dyn DynStore>;

            fn keyring(&self) -> &keyauth_core::Keyring;

            $(fn $name(&self, $($argument: $type),*) -> Answer<'_, $answer>;)*
        }

        impl<S: ManagedStore> DynStore for S {
            fn acting_as(&self, actor: Actor) -> Arc<dyn DynStore> {
                Arc::new(AuditLog::acting_as(self, actor))
            }

            fn once(&self, request: RequestName) -> Arc<dyn DynStore> {
                Arc::new(CreateOnce::once(self, request))
            }

            fn keyring(&self) -> &keyauth_core::Keyring {
                self.issuer().keyring()
            }

            $(fn $name(&self, $($argument: $type),*) -> Answer<'_, $answer> {
                let $store = self;
                Box::pin(async move { $call })
            })*
        }
    };
}

erased! {
    issue(new: NewKey) -> IssuedKey = |store| KeyStore::issue(store, new).await;
    import(new: NewKey, secret: ImportedSecret) -> Key =
        |store| ImportStore::import(store, new, secret).await;
    key(key: KeyRef) -> Key = |store| KeyStore::key(store, &key).await;
    record(key: KeyRef) -> Option<Arc<KeyRecord>> = |store| KeyStore::record(store, &key).await;
    keys(query: KeyQuery) -> Vec<Key> = |store| KeyStore::keys(store, &query).await;
    update(key: KeyRef, update: KeyUpdate) -> Key =
        |store| KeyStore::update(store, key, update).await;
    enable(key: KeyRef) -> Key = |store| KeyStore::enable(store, key).await;
    disable(key: KeyRef) -> Key = |store| KeyStore::disable(store, key).await;
    rotate(key: KeyRef, rotation: Rotation) -> IssuedKey =
        |store| KeyStore::rotate(store, key, rotation).await;
    revoke(key: KeyRef) -> Key = |store| KeyStore::revoke(store, key).await;
    revoke_and_wait(key: KeyRef, timeout: Duration) -> (Key, Propagation) =
        |store| ChangeFeed::revoke_and_wait(store, key, timeout).await;
    delete(key: KeyRef) -> () = |store| KeyStore::delete(store, key).await;

    tenants(page: Page<TenantId>) -> Vec<Tenant> =
        |store| Directory::tenants(store, &page).await;
    tenant(tenant: TenantId) -> Tenant = |store| Directory::tenant(store, &tenant).await;
    put_tenant(tenant: Tenant) -> () = |store| Directory::put_tenant(store, &tenant).await;
    update_tenant(tenant: TenantId, update: TenantUpdate) -> Tenant =
        |store| Directory::update_tenant(store, &tenant, &update).await;

    owners(tenant: TenantId, page: Page<OwnerId>) -> Vec<Owner> =
        |store| Directory::owners(store, &tenant, &page).await;
    owner(tenant: TenantId, owner: OwnerId) -> Owner =
        |store| Directory::owner(store, &tenant, &owner).await;
    put_owner(owner: Owner) -> () = |store| Directory::put_owner(store, &owner).await;
    update_owner(tenant: TenantId, owner: OwnerId, update: OwnerUpdate) -> Owner =
        |store| Directory::update_owner(store, &tenant, &owner, &update).await;
    delete_owner(tenant: TenantId, owner: OwnerId) -> u64 =
        |store| Directory::delete_owner(store, &tenant, &owner).await;

    groups(tenant: TenantId, page: Page<GroupId>) -> Vec<Group> =
        |store| Directory::groups(store, &tenant, &page).await;
    groups_open_to(tenant: TenantId, owner: OwnerId, page: Page<GroupId>) -> Vec<Group> =
        |store| Directory::groups_open_to(store, &tenant, &owner, &page).await;
    group(tenant: TenantId, group: GroupId) -> Group =
        |store| Directory::group(store, &tenant, &group).await;
    put_group(group: Group) -> () = |store| Directory::put_group(store, &group).await;
    update_group(tenant: TenantId, group: GroupId, update: GroupUpdate) -> Group =
        |store| Directory::update_group(store, &tenant, &group, &update).await;
    delete_group(tenant: TenantId, group: GroupId, bound: BoundKeys) -> u64 =
        |store| Directory::delete_group(store, &tenant, &group, bound).await;
    members(tenant: TenantId, group: GroupId, page: Page<OwnerId>) -> Vec<OwnerId> =
        |store| Directory::members(store, &tenant, &group, &page).await;
    add_member(tenant: TenantId, group: GroupId, owner: OwnerId) -> () =
        |store| Directory::add_member(store, &tenant, &group, &owner).await;
    remove_member(tenant: TenantId, group: GroupId, owner: OwnerId) -> () =
        |store| Directory::remove_member(store, &tenant, &group, &owner).await;
    subscriptions(tenant: TenantId, group: GroupId, page: Page<OwnerId>)
        -> Vec<(OwnerId, Subscription)> =
        |store| Directory::subscriptions(store, &tenant, &group, &page).await;
    put_subscription(
        tenant: TenantId, group: GroupId, owner: OwnerId, subscription: Subscription
    ) -> () =
        |store| Directory::put_subscription(store, &tenant, &group, &owner, subscription).await;
    remove_subscription(tenant: TenantId, group: GroupId, owner: OwnerId) -> () =
        |store| Directory::remove_subscription(store, &tenant, &group, &owner).await;

    audit(query: AuditQuery) -> Vec<AuditEntry> = |store| AuditLog::audit(store, &query).await;

    budget_states(budgets: Vec<ChargedBudget>) -> Vec<BudgetState> =
        |store| Ledger::states(store, &budgets).await.map_err(of_ledger);
    reset_budget(budget: ChargedBudget) -> () =
        |store| Ledger::reset(store, &budget).await.map_err(of_ledger);
    give_back_lost(budget: ChargedBudget) -> () =
        |store| Ledger::give_back_lost(store, &budget).await.map_err(of_ledger);
}

/// A ledger that knows no such time zone is asked a wrong question.
fn of_ledger(error: LedgerError) -> StoreError {
    match error.kind() {
        LedgerErrorKind::Invalid => {
            let problem = keyauth_core::Problem::new("zone", "is unknown to the database");
            keyauth_core::InvalidInput::from(problem).into()
        }
        _ => StoreError::unavailable(error),
    }
}
