//! The word "no", with its reason.

use std::fmt;

/// Why a request is not let through. Never "we could not find out": that is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denial {
    /// The request brought no credential.
    MissingKey,
    /// The credential is malformed or unknown; which of the two is not told.
    InvalidKey,
    /// The key is switched off.
    KeyDisabled,
    /// The key was taken back for good.
    KeyRevoked,
    /// The key's time is over, or that of the presented secret after a rotation.
    KeyExpired,
    /// The key's time has not begun.
    KeyNotYetValid,
    /// The key's owner is switched off.
    OwnerInactive,
    /// The key's tenant is switched off.
    TenantInactive,
    /// The request cannot be judged as it is: a repeated credential header, a key in the
    /// query, an ambiguous path where endpoint rules apply.
    InvalidRequest,
    /// The client's address may not use the key, or is unknown where a rule asks for it.
    AddressDenied,
    /// The key lacks a scope.
    ScopeDenied,
    /// The key may not call this endpoint.
    EndpointDenied,
    /// The key may not use this resource.
    ResourceDenied,
    /// The key's group is switched off.
    GroupInactive,
    /// The key's owner is not on the group's list, or the key is in none of the groups asked for.
    GroupDenied,
    /// The key's owner has no active subscription to the group.
    SubscriptionRequired,
    /// A rate limit is used up.
    RateLimited,
    /// Too many calls are under way.
    ConcurrencyLimited,
    /// Too many wrong keys came from this address.
    TooManyFailures,
    /// A budget is used up.
    BudgetExhausted,
}

impl Denial {
    /// Every denial, in the order of the documentation's table.
    pub const ALL: &'static [Self] = &[
        Self::MissingKey,
        Self::InvalidKey,
        Self::KeyDisabled,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::KeyNotYetValid,
        Self::OwnerInactive,
        Self::TenantInactive,
        Self::InvalidRequest,
        Self::AddressDenied,
        Self::ScopeDenied,
        Self::EndpointDenied,
        Self::ResourceDenied,
        Self::GroupInactive,
        Self::GroupDenied,
        Self::SubscriptionRequired,
        Self::RateLimited,
        Self::ConcurrencyLimited,
        Self::TooManyFailures,
        Self::BudgetExhausted,
    ];

    /// The stable name that programs branch on.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::KeyDisabled => "key_disabled",
            Self::KeyRevoked => "key_revoked",
            Self::KeyExpired => "key_expired",
            Self::KeyNotYetValid => "key_not_yet_valid",
            Self::OwnerInactive => "owner_inactive",
            Self::TenantInactive => "tenant_inactive",
            Self::InvalidRequest => "invalid_request",
            Self::AddressDenied => "address_denied",
            Self::ScopeDenied => "scope_denied",
            Self::EndpointDenied => "endpoint_denied",
            Self::ResourceDenied => "resource_denied",
            Self::GroupInactive => "group_inactive",
            Self::GroupDenied => "group_denied",
            Self::SubscriptionRequired => "subscription_required",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::TooManyFailures => "too_many_failures",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
