//! Who is calling.

use std::ops::Deref;

use keyauth_core::Admission;

/// Who is calling, in the request's extensions of every service behind [`KeyAuth`](crate::KeyAuth).
///
/// Only the layer makes one, out of a proof that only `keyauth-core` makes, so holding one
/// is proof that a key was admitted; one that a request brings from elsewhere is removed.
/// What it says is read through the [`Admission`] it dereferences to.
///
/// With feature `axum` it is a handler's argument: `who: Principal` answers 401 where
/// nobody was authenticated, `who: Option<Principal>` takes strangers too.
#[derive(Clone, Debug)]
pub struct Principal(Admission);

impl Principal {
    pub(crate) const fn new(admission: Admission) -> Self {
        Self(admission)
    }
}

impl Deref for Principal {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.0
    }
}
