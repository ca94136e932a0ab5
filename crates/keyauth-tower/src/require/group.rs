//! Groups that a route is open to.

use std::sync::Arc;

use keyauth_core::{Denial, GroupId};

use super::{Requirement, impl_layer};
use crate::{Principal, RequestHead};

/// Lets through keys that are bound to one of several groups.
#[derive(Clone, Debug)]
pub struct RequireGroup(Arc<[GroupId]>);

impl RequireGroup {
    /// Keys must be bound to this group.
    ///
    /// # Panics
    ///
    /// Where the text is no group's name, so that a slip shows when the service starts.
    #[must_use]
    pub fn new(group: &str) -> Self {
        Self::any([group])
    }

    /// Keys must be bound to one of these groups.
    ///
    /// # Panics
    ///
    /// Where a text is no group's name.
    #[must_use]
    #[expect(clippy::expect_used, reason = "names in the program's text, as documented")]
    pub fn any<'a>(groups: impl IntoIterator<Item = &'a str>) -> Self {
        let groups = groups.into_iter().map(GroupId::new);
        Self(groups.map(|group| group.expect("a route must ask for valid groups")).collect())
    }
}

impl Requirement for RequireGroup {
    fn check(&self, caller: &Principal, _: &RequestHead<'_>) -> Result<(), Denial> {
        let bound = caller.group().is_some_and(|group| self.0.contains(group));
        if bound { Ok(()) } else { Err(Denial::GroupDenied) }
    }
}

impl_layer!(RequireGroup);
