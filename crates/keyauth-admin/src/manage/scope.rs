//! What keys of administrators may do.

/// The scopes of the management API, all of which begin with `keyauth:`. Whoever lacks one cannot
/// give it to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManagementScope;

/// What they begin with: nobody gives these away without having them.
pub(super) const RESERVED: &str = "keyauth:";

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $(/ $marker:ident)?;)*) => {
        impl ManagementScope {
            $($(#[$doc])* pub const $name: &'static str = $text;)*

            /// All of them: what the first administrator has.
            pub const ALL: &'static [&'static str] = &[$($text),*];
        }

        /// What handlers ask for, as types.
        pub(super) mod needs {
            $($(pub(crate) struct $marker;

            impl super::Needs for $marker {
                const SCOPE: &'static str = $text;
            })?)*
        }
    };
}

/// Something that a handler asks of its caller.
pub(super) trait Needs {
    /// The scope.
    const SCOPE: &'static str;
}

scopes! {
    /// Read tenants.
    TENANTS_READ = "keyauth:tenants:read" / TenantsRead;
    /// Create and change tenants; it needs [`ALL_TENANTS`](Self::ALL_TENANTS) as well.
    TENANTS_WRITE = "keyauth:tenants:write" / TenantsWrite;
    /// Read owners.
    OWNERS_READ = "keyauth:owners:read" / OwnersRead;
    /// Create, change and delete owners.
    OWNERS_WRITE = "keyauth:owners:write" / OwnersWrite;
    /// Read groups, lists and subscriptions.
    GROUPS_READ = "keyauth:groups:read" / GroupsRead;
    /// Change them.
    GROUPS_WRITE = "keyauth:groups:write" / GroupsWrite;
    /// Read keys.
    KEYS_READ = "keyauth:keys:read" / KeysRead;
    /// Issue, change, rotate, revoke and delete keys.
    KEYS_WRITE = "keyauth:keys:write" / KeysWrite;
    /// Read how limits stand.
    LIMITS_READ = "keyauth:limits:read" / LimitsRead;
    /// Have limits begin anew.
    LIMITS_WRITE = "keyauth:limits:write" / LimitsWrite;
    /// Read how budgets stand.
    BUDGETS_READ = "keyauth:budgets:read" / BudgetsRead;
    /// Have budgets begin anew, and give back what was lost.
    BUDGETS_WRITE = "keyauth:budgets:write" / BudgetsWrite;
    /// Read what others have used.
    USAGE_READ = "keyauth:usage:read" / UsageRead;
    /// Read who changed what.
    AUDIT_READ = "keyauth:audit:read" / AuditRead;
    /// Ask whether a presented key is let through.
    VERIFY = "keyauth:verify" / Verify;
    /// Name charges when asking that.
    CHARGE_IDS = "keyauth:charge-ids";
    /// Ask why a key is let through, or is not.
    EXPLAIN = "keyauth:explain" / Explain;
    /// Give keys scopes that one does not have, other than those that begin with `keyauth:`.
    GRANT_ANY = "keyauth:grant-any";
    /// Do all this in any tenant, by naming it, and not in one's own alone.
    ALL_TENANTS = "keyauth:all-tenants";
}
