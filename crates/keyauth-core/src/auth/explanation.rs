//! Why a key is let through, or is not.

use std::sync::Arc;

use super::Authenticator;
use crate::{
    Denial, KeyRecord, LimitState, Limited, LookupError, Parsed, Peek, PresentedKey, RequestFacts,
    StationVerdict, explain,
};

/// What becomes of a presented key, and why: see [`Authenticator::explain`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Explanation {
    /// It has a prefix of ours, and not the length, the alphabet or the checksum. Nobody was asked.
    Malformed,
    /// It is no key of ours: the next source would be tried.
    Foreign,
    /// It is shaped like a key, and nobody knows it.
    Unknown {
        /// Who says so.
        found_in: FoundIn,
    },
    /// It is somebody's.
    Known(Box<Explained>),
}

/// What is known of a key, and what that says to a request.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its record, with the versions that it was read at.
    pub record: Arc<KeyRecord>,
    /// Where that was.
    pub found_in: FoundIn,
    /// What every station says, in their order.
    pub stations: Vec<StationVerdict>,
    /// How the limits stand that apply to it, in their order; empty without a limiter.
    pub limits: Vec<LimitState>,
}

/// Where an answer about a key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FoundIn {
    /// In this process, without asking anybody.
    Memory,
    /// Behind it: in a shared cache, or in the store.
    Lookup,
}

impl Explanation {
    /// The first no, which is what the request is told; `None` where it passes all stations. Limits
    /// and budgets are asked after that.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::Malformed | Self::Foreign | Self::Unknown { .. } => Some(Denial::InvalidKey),
            Self::Known(known) => known.denial(),
        }
    }
}

impl Explained {
    /// The first no of the stations.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        self.stations.iter().find_map(|verdict| verdict.denial)
    }
}

impl Authenticator {
    /// Says what would become of a key and a request, and why, by the same steps as
    /// [`verify`](Self::verify), without counting anything. A key of another system is recognised by
    /// it.
    ///
    /// For operators. A holder should be told no more than the first no.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where there is no answer.
    pub async fn explain(
        &self,
        key: &str,
        facts: &RequestFacts<'_>,
    ) -> Result<Explanation, LookupError> {
        match self.parse(key.as_bytes()) {
            Parsed::Malformed => Ok(Explanation::Malformed),
            Parsed::Foreign => Ok(Explanation::Foreign),
            Parsed::Key(key) => self.explain_key(key, facts).await,
        }
    }

    async fn explain_key(
        &self,
        key: PresentedKey<'_>,
        facts: &RequestFacts<'_>,
    ) -> Result<Explanation, LookupError> {
        let (record, found_in) = match self.peek(key) {
            Peek::Found(record) => (Some(record), FoundIn::Memory),
            Peek::Unknown => (None, FoundIn::Memory),
            Peek::Ask => (self.find(key).await?, FoundIn::Lookup),
        };
        let Some(record) = record else { return Ok(Explanation::Unknown { found_in }) };
        let explained = self.explain_record(record, found_in, facts).await?;
        Ok(Explanation::Known(Box::new(explained)))
    }

    /// Says what a record that was read says to a request, and how its limits stand.
    ///
    /// # Errors
    ///
    /// [`LookupError`] where the limiter has no answer.
    pub async fn explain_record(
        &self,
        record: Arc<KeyRecord>,
        found_in: FoundIn,
        facts: &RequestFacts<'_>,
    ) -> Result<Explained, LookupError> {
        let stations = explain(&record, facts, self.now());
        let limits = self.limits_of(Limited::Key(Arc::clone(&record))).await?;
        Ok(Explained { record, found_in, stations, limits })
    }
}
