//! What the model remembers.

/// The version of the one key there is.
pub(crate) type Version = u8;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    /// In the store.
    pub(crate) version: Version,
    /// What a revoke waits for.
    pub(crate) waiting: Option<Version>,
    /// What a revoke that waited has returned for.
    pub(crate) returned: Version,
    /// What rows of crashed instances have acknowledged, the lowest.
    pub(crate) ghost: Option<Version>,
    pub(crate) crashes: u8,
    pub(crate) instances: Vec<Instance>,
    pub(crate) older_than_applied: bool,
    pub(crate) older_than_returned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instance {
    /// Whether it has a row, and what that says it has applied.
    pub(crate) row: Option<Version>,
    pub(crate) left: bool,
    /// The mark.
    pub(crate) mark: Version,
    pub(crate) unacknowledged: bool,
    pub(crate) lease: Lease,
    pub(crate) poll: Option<Poll>,
    /// What is cached.
    pub(crate) entry: Option<Version>,
    pub(crate) flights: Vec<Flight>,
    pub(crate) callers: Vec<Caller>,
}

/// The right to serve what is cached, and what the poll had seen that gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lease {
    #[default]
    None,
    Held {
        seen: Version,
    },
    /// It has ended, and the grace has not.
    Grace {
        seen: Version,
        /// An attempt that began since then has failed.
        failed: bool,
    },
}

/// A poll under way: what it has seen, and whether a lease from when it was sent would be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Poll {
    pub(crate) seen: Version,
    pub(crate) over: bool,
}

/// A load under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Flight {
    pub(crate) id: u8,
    /// Whether callers that come find it.
    pub(crate) current: bool,
    pub(crate) sent: bool,
    /// Whether the shared cache may still be asked.
    pub(crate) may_share: bool,
    /// Whether it was sent in the grace.
    pub(crate) in_grace: bool,
    pub(crate) read: Option<(Version, Source)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Store,
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Early,
    Late,
}

/// A request. `floor` is the version of the last revoke that had returned when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Caller {
    ToCome,
    Waiting {
        flight: u8,
        place: Place,
        floor: Version,
    },
    /// The load has landed, and the caller has not looked yet.
    Woken {
        version: Version,
        place: Place,
        floor: Version,
    },
    Answered,
}
