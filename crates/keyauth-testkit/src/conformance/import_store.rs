//! The cases of [`import_store_conformance!`](crate::import_store_conformance).
//!
//! Called by the macro; each takes a store that was just opened. Slow hashes are made up: whether
//! they are a key's is no matter of a store.

use std::time::Duration;

use keyauth_core::{
    Authenticator, Denial, Directory, Group, GroupKind, ImportStore, ImportedSecret, Importer,
    Issuer, Key, KeyRef, LookupError, NewKey, PlaintextKey, Recognition, RequestFacts, Rotation,
    StoreErrorKind, Tenant, TenantId,
};

use super::key_store::Bench;
use super::key_store::bench::{check_kind, check_problems, group, issue, keyring, owner};

const ONE: &str = "unkey.3ZHuTY3fqbPZ5Z1Q";
/// Its SHA-256.
const SHA256_OF_ONE: &str = "5e75cec0119979cc09dda9d16704632c7b2820102c0ab5cdb6175902dddd5501";
const OTHER: &str = "kong-9f8e7d6c5b4a39281706f5e4d3c2b1a0";
/// Its SHA-512.
const SHA512_OF_OTHER: &str =
    "UVZ/BDjeNL9mgmPlfXdJ6fCTutVXjPgoiA4Z2uYpcCCDELHIFYWfX+iWL3MmlButje6UpnChj9qqTWMizSIBVg==";

/// A bench, and an issuer that accepts keys of other systems.
#[must_use]
pub fn bench() -> (Bench, Issuer) {
    let (bench, issuer) = Bench::new();
    (bench, issuer.with_keyring(keyring().with_imported_keys()))
}

fn hash(text: &str) -> ImportedSecret {
    ImportedSecret::new(text.parse().expect("a hash"))
}

fn slow(number: usize) -> ImportedSecret {
    // Digits whose last bits are zero, as in a real one.
    hash(&format!("$2b$12${number:.>21}u{:.>31}", ""))
}

async fn import(store: &impl ImportStore, new: NewKey, secret: ImportedSecret) -> Key {
    store.import(new, secret).await.expect("a valid key of another system")
}

/// Verifies what takes no time.
struct AtOnce<S>(S);

impl<S: ImportStore> Importer for AtOnce<S> {
    async fn recognise(&self, key: PlaintextKey) -> Result<Recognition, LookupError> {
        for (id, hash) in self.0.imported(&key.import_lookups()).await? {
            if hash.verify_fast(key.reveal().as_bytes()) == Some(true) {
                self.0.recognise(id, &key).await.map_err(LookupError::unavailable)?;
            }
        }
        Ok(Recognition::LookAgain)
    }
}

async fn decide<S>(bench: &Bench, store: &S, key: &str) -> Result<(), Denial>
where
    S: ImportStore + Clone + 'static,
{
    let auth: Authenticator = bench.auth(store).with_importer(AtOnce(store.clone()));
    let decision = auth.verify(key, &RequestFacts::new()).await;
    decision.expect("the store answers").map(drop)
}

/// An imported key is unknown to lookups until it was recognised, and like any other from then on.
pub async fn imported_keys_are_known_once_they_are_presented<S>(bench: Bench, store: S)
where
    S: ImportStore + Directory + Clone + 'static,
{
    let new = || NewKey::named("from before").owner("ada").scope("a");
    let one = import(&store, new(), hash(SHA256_OF_ONE).begins_with("unkey.3ZHuTY")).await;
    let other = import(&store, new(), hash(SHA512_OF_OTHER)).await;
    assert_eq!((one.hint.as_str(), other.hint.as_str()), ("unke", ""));
    assert_eq!(store.key(&KeyRef::from(&one)).await.expect("there"), one);
    for (text, key) in [(ONE, one), (OTHER, other)] {
        assert!(bench.record(&store, text).await.is_none(), "nobody has recognised it");
        let named = KeyRef::from(&key);
        assert_eq!(store.record(&named).await.expect("the key is there"), None);
        assert_eq!(decide(&bench, &store, text).await, Ok(()));
        let record = bench.record(&store, text).await.expect("it is known now");
        assert_eq!(record.key, key);
        // Nothing is left to verify, and the plain lookup is enough.
        assert_eq!(bench.decide(&store, text).await, Ok(()));
        assert_eq!(decide(&bench, &store, text).await, Ok(()));
    }
    let mut wrong = ONE.to_owned();
    wrong.pop();
    for wrong in [wrong.as_str(), &format!("{ONE}x"), "unkey.3ZHuTY", SHA256_OF_ONE] {
        assert_eq!(decide(&bench, &store, wrong).await, Err(Denial::InvalidKey), "{wrong}");
    }
}

/// Rotating, revoking and deleting is about imported secrets too, presented or not.
pub async fn imported_secrets_end_like_any_others<S>(bench: Bench, store: S)
where
    S: ImportStore + Directory + Clone + 'static,
{
    let key = import(&store, NewKey::named("rotated"), hash(SHA256_OF_ONE)).await;
    let grace = Duration::from_secs(100);
    let rotated = store.rotate(&key, Rotation::with_grace(grace)).await.expect("rotated");
    assert_eq!(bench.decide(&store, rotated.reveal()).await, Ok(()));
    bench.clock.advance(grace - Duration::from_micros(1));
    assert_eq!(decide(&bench, &store, ONE).await, Ok(()));
    bench.clock.advance(Duration::from_micros(1));
    assert_eq!(decide(&bench, &store, ONE).await, Err(Denial::KeyExpired));

    let ended = import(&store, NewKey::named("ended"), hash(SHA512_OF_OTHER)).await;
    store.rotate(&ended, Rotation::immediate()).await.expect("rotated");
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::KeyExpired));
    store.delete(&ended).await.expect("deleted");
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::InvalidKey));

    let revoked = import(&store, NewKey::named("revoked"), hash(SHA512_OF_OTHER)).await;
    store.revoke(&revoked).await.expect("revoked");
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::KeyRevoked));
    store.delete(&revoked).await.expect("deleted");
    let deleted = import(&store, NewKey::named("deleted"), hash(SHA512_OF_OTHER)).await;
    store.delete(&deleted).await.expect("deleted");
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::InvalidKey));

    let hers = NewKey::named("of a deleted owner").owner("ada");
    import(&store, hers, hash(SHA512_OF_OTHER)).await;
    store.delete_owner(&TenantId::default(), &owner("ada")).await.expect("deleted");
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::KeyRevoked));
}

/// The same rules as for issuing, and those of hashes; nothing is left of what is refused.
pub async fn what_cannot_be_imported_is_named<S>(bench: Bench, store: S)
where
    S: ImportStore + Directory + Clone + 'static,
{
    let new = || NewKey::named("refused").owner("ada");
    check_problems(store.import(new(), slow(1)).await, &["begins_with"]);
    for bad in ["abc", &"x".repeat(33), "a b c d", "sk_live_Ab3"] {
        let refused = store.import(new(), hash(SHA256_OF_ONE).begins_with(bad)).await;
        check_problems(refused, &["begins_with"]);
    }
    let refused = store.import(new().custom("my-own-key_0123456789"), hash(SHA256_OF_ONE)).await;
    check_problems(refused, &["custom_key"]);
    check_problems(store.import(new().tenant("none"), hash(SHA256_OF_ONE)).await, &["tenant"]);
    let club = Group::new(TenantId::default(), group("club"), GroupKind::Exclusive);
    store.put_group(&club).await.expect("a group");
    check_problems(store.import(new().group("club"), hash(SHA256_OF_ONE)).await, &["group"]);
    let tenant = Tenant { max_keys_per_owner: Some(1), ..Tenant::new(TenantId::default()) };
    store.put_tenant(&tenant).await.expect("a tenant");
    assert_eq!(decide(&bench, &store, ONE).await, Err(Denial::InvalidKey));

    import(&store, new(), hash(SHA256_OF_ONE)).await;
    let beyond = store.import(new(), hash(SHA512_OF_OTHER)).await;
    check_kind(beyond, &StoreErrorKind::TooManyKeys { most: 1 });
    let twice = store.import(NewKey::named("twice").owner("bob"), hash(SHA256_OF_ONE)).await;
    check_kind(twice, &StoreErrorKind::Taken);
    assert_eq!(decide(&bench, &store, ONE).await, Ok(()));
    assert_eq!(decide(&bench, &store, OTHER).await, Err(Denial::InvalidKey));
    // Nor when it was presented: a twin would wait for the first to be deleted, and come then.
    let twice = store.import(NewKey::named("twice").owner("bob"), hash(SHA256_OF_ONE)).await;
    check_kind(twice, &StoreErrorKind::Taken);
    let alike = || slow(7).begins_with("alike");
    import(&store, NewKey::named("slow").owner("bob"), alike()).await;
    let twice = store.import(NewKey::named("twice").owner("eve"), alike()).await;
    check_kind(twice, &StoreErrorKind::Taken);
}

/// Sixteen may begin alike, however many are imported at once: all are tried.
pub async fn few_slow_hashes_begin_alike<S>(_: Bench, store: S)
where
    S: ImportStore + Directory + Clone + 'static,
{
    let at_once = (0..S::MOST_ALIKE + 8).map(|number| {
        let store = store.clone();
        let new = NewKey::named("alike").owner(format!("owner-{number}"));
        let secret = slow(number).begins_with("fill");
        tokio::spawn(async move { store.import(new, secret).await })
    });
    let mut refused = Vec::new();
    for outcome in at_once.collect::<Vec<_>>() {
        refused.extend(outcome.await.expect("no panic").err());
    }
    assert_eq!(refused.len(), 8);
    for error in refused {
        check_problems(Err::<(), _>(error), &["begins_with"]);
    }
    import(&store, NewKey::named("longer"), slow(99).begins_with("fille")).await;
    issue(&store, NewKey::named("any")).await;
}

/// Many who present a key for the first time at once are all let in, and it is recognised once.
pub async fn many_may_be_the_first<S>(bench: Bench, store: S)
where
    S: ImportStore + Directory + Clone + 'static,
{
    let key = import(&store, NewKey::named("wanted"), hash(SHA256_OF_ONE)).await;
    let auth = bench.auth(&store).with_importer(AtOnce(store.clone()));
    let first = (0..16).map(|_| {
        let auth = auth.clone();
        tokio::spawn(async move { auth.verify(ONE, &RequestFacts::new()).await })
    });
    for first in first.collect::<Vec<_>>() {
        let decision = first.await.expect("no panic").expect("the store answers");
        assert_eq!(decision.map(|admission| admission.key_id()), Ok(key.id));
    }
}
