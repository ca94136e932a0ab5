//! Authenticators and admissions without a store in sight.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use keyauth_core::{
    Admission, Authenticator, IssuedKey, KeyStore, MemoryStore, NewKey, RequestFacts,
};

/// An authenticator that admits one key, and that key.
///
/// # Panics
///
/// Where the key is not valid as described.
#[must_use]
pub fn authenticator(new: NewKey) -> (Authenticator, IssuedKey) {
    let store = MemoryStore::new();
    let key = at_once(store.issue(new)).expect("a key as described can be issued");
    (Authenticator::new(store), key)
}

/// Proof that such a key was admitted, for what takes one. It is a real one: nobody
/// outside of `keyauth-core` can make another kind.
///
/// # Panics
///
/// Where the key is not valid as described, or would not be admitted.
#[must_use]
pub fn admission(new: NewKey) -> Admission {
    let (auth, key) = authenticator(new);
    let decision = at_once(auth.verify(key.reveal(), &RequestFacts::new()));
    decision.expect("the memory store answers").expect("the key is admitted")
}

/// The outcome of a future that waits for nothing, as those of the memory store do.
///
/// # Panics
///
/// Where it waits.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the future waits for something"),
    }
}
