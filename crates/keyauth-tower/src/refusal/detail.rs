//! What refusals say to people.

use keyauth_core::{Denial, LookupErrorKind};

use super::Reason;

/// One printable ASCII sentence a reason, without quotes and percent signs, so that it fits
/// into JSON and gRPC metadata as it is.
pub(super) const fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::Denied(denial) => denied(denial),
        Reason::Unanswered(LookupErrorKind::Overloaded) => {
            "The service is checking too many keys at present. Try again shortly."
        }
        Reason::Unanswered(_) => {
            "It could not be checked whether this is allowed. Try again shortly."
        }
    }
}

const fn denied(denial: Denial) -> &'static str {
    match denial {
        Denial::MissingKey => "No API key was presented.",
        Denial::InvalidKey => "The API key is not valid.",
        Denial::KeyDisabled => "The API key is disabled.",
        Denial::KeyRevoked => "The API key has been revoked.",
        Denial::KeyExpired => "The API key has expired.",
        Denial::KeyNotYetValid => "The API key is not valid yet.",
        Denial::OwnerInactive => "The owner of the API key is not active.",
        Denial::TenantInactive => "The tenant of the API key is not active.",
        Denial::InvalidRequest => {
            "The request is ambiguous: a repeated credential, an API key in the query, \
             or a path that can be read in several ways."
        }
        Denial::AddressDenied => "The API key may not be used from this address.",
        Denial::ScopeDenied => "The API key lacks a scope that this needs.",
        Denial::EndpointDenied => "The API key may not call this endpoint.",
        Denial::ResourceDenied => "The API key may not use this resource.",
        Denial::GroupInactive => "The group of the API key is not active.",
        Denial::GroupDenied => "The API key is in no group that this is open to.",
        Denial::SubscriptionRequired => "The API key needs an active subscription.",
        Denial::RateLimited => "A rate limit is used up.",
        Denial::ConcurrencyLimited => "Too many calls are under way at once.",
        Denial::TooManyFailures => "Too many wrong API keys came from this address.",
        Denial::BudgetExhausted => "A budget of the API key is used up.",
        _ => "The API key is not let through.",
    }
}
