//! A store of records that are given away once, so that nothing of it takes up memory beside the
//! cache that is measured: as little as a database does that runs elsewhere.

use std::collections::HashMap;
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
    /// As JSON.
    records: Mutex<HashMap<KeyDigest, Vec<u8>>>,
}

impl Given {
    /// A store of so many new keys, and their texts.
    pub(crate) fn new(count: usize, new: impl Fn(usize) -> NewKey) -> (Self, Vec<String>) {
        let issuer = Issuer::new();
        let (mut records, mut texts) = (HashMap::with_capacity(count), Vec::with_capacity(count));
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
            let record = serde_json::to_vec(&record).expect("a record is JSON");
            records.insert(draft.secret.digest, record);
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
        let record = self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
        let read = |json: Vec<u8>| serde_json::from_slice(&json).map(Arc::new);
        record.map(read).transpose().map_err(LookupError::unavailable)
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
