//! A store of records that are given away once, so that nothing of it takes up memory beside the
//! cache that is measured: as little as a database does that runs elsewhere.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use keyauth_core::{
    ChangeFeed, ChangeObserver, Instance, Issuer, KeyDigest, KeyLookup, KeyRecord, Keyring,
    LookupError, Memo, MemoryStore, NewKey, Propagation, RateMultiplier, Status, StoreError,
    Subject, Versions,
};

#[derive(Debug)]
pub(crate) struct Given {
    /// Without a key: it has a feed.
    empty: MemoryStore,
    records: Mutex<Records>,
}

/// Records as JSON, one after the other in one piece of memory: many pieces would leave holes where
/// they were, for what is measured to lie in, far from each other.
#[derive(Debug, Default)]
struct Records {
    json: Vec<u8>,
    at: HashMap<KeyDigest, Range<usize>>,
}

impl Records {
    fn add(&mut self, digest: KeyDigest, record: &KeyRecord) {
        let start = self.json.len();
        serde_json::to_writer(&mut self.json, record).expect("a record is JSON");
        self.at.insert(digest, start..self.json.len());
    }

    /// The record, once. With the last one goes the memory.
    fn take(&mut self, digest: &KeyDigest) -> serde_json::Result<Option<KeyRecord>> {
        let Some(range) = self.at.remove(digest) else { return Ok(None) };
        let record = serde_json::from_slice(&self.json[range])?;
        if self.at.is_empty() {
            *self = Self::default();
        }
        Ok(Some(record))
    }
}

impl Given {
    /// A store of so many new keys, and their texts.
    pub(crate) fn new(count: usize, new: impl Fn(usize) -> NewKey) -> (Self, Vec<String>) {
        let issuer = Issuer::new();
        let (mut records, mut texts) = (Records::default(), Vec::with_capacity(count));
        for number in 0..count {
            let draft = issuer.draft(new(number)).expect("a key");
            let record = KeyRecord {
                secret: draft.secret.id,
                secret_ends_at: None,
                tenant: Status::Active,
                owner: Status::Active,
                group: None,
                limits: draft.key.applied_limits(&[], &[], &[]),
                budgets: Box::default(),
                rate_multiplier: RateMultiplier::ONE,
                versions: Versions::default(),
                memo: Memo::default(),
                key: draft.key.clone(),
            };
            records.add(draft.secret.digest, &record);
            texts.push(draft.into_issued().reveal().to_owned());
        }
        (Self { empty: MemoryStore::new(), records: Mutex::new(records) }, texts)
    }
}

impl KeyLookup for Given {
    fn keyring(&self) -> &Keyring {
        self.empty.keyring()
    }

    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, LookupError> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(records.take(digest).map_err(LookupError::unavailable)?.map(Arc::new))
    }
}

impl ChangeFeed for Given {
    type Reader = <MemoryStore as ChangeFeed>::Reader;

    fn reader(&self, instance: Instance) -> Self::Reader {
        self.empty.reader(instance)
    }

    fn observe(&self, observer: Weak<dyn ChangeObserver>) {
        self.empty.observe(observer);
    }

    async fn propagated(
        &self,
        subject: &Subject,
        timeout: Duration,
    ) -> Result<Propagation, StoreError> {
        self.empty.propagated(subject, timeout).await
    }
}
