//! The cache that instances share.

use std::time::Duration;

use keyauth_core::{KeyDigest, LookupError, SharedCache, SharedEntry, Versions};

use crate::link::{Answer, Command};
use crate::redis::Redis;
use crate::script::Script;

/// Five versions of eight bytes stand before what is sealed.
const VERSIONS_LEN: usize = 40;
/// What is longer is not shared: the store has it.
const LONGEST: usize = 256 * 1024;
const LONGEST_TEXT: &str = "262143";

/// Writes a value unless a newer one is there: the rule is that of
/// [`Versions::is_newer_than`]. Versions are compared in halves, since Lua's numbers are exact to
/// 2^53 only, and its order of strings is that of the server's locale. Whatever else is there is
/// overwritten.
pub(crate) const PUT: Script = Script {
    text: include_str!("scripts/put.lua"),
    sha1: "9d66c23ebd998150aeaf20415170aaaa7300ee69",
};

/// Keeps sealed records in Redis, for [`CachedLookup::with_shared`][with]: a key that one
/// instance has loaded costs the others no read of the store.
///
/// An entry is a string by the name `<prefix>:record:<namespace>:{<digest>}`. It is sealed, which
/// means that nobody else can make one, not that nobody can read it: owners, scopes and metadata
/// of keys stand there, secrets do not. It is checked against all changes before it is believed.
/// Entries end by themselves, after 15 minutes at most; any policy of eviction will do.
///
/// [with]: https://docs.rs/keyauth-cache/latest/keyauth_cache/struct.CachedLookup.html#method.with_shared
#[derive(Clone, Debug)]
pub struct RedisCache {
    redis: Redis,
}

impl RedisCache {
    /// Keeps them there.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone() }
    }

    fn name(&self, namespace: &str, digest: &KeyDigest) -> Vec<u8> {
        let (prefix, digest) = (self.redis.prefix(), hex::encode(digest.as_bytes()));
        [prefix, ":record:", namespace, ":{", &digest, "}"].concat().into_bytes()
    }
}

impl SharedCache for RedisCache {
    async fn get(
        &self,
        namespace: &str,
        digest: &KeyDigest,
    ) -> Result<Option<Vec<u8>>, LookupError> {
        let name = self.name(namespace, digest);
        // Not more than we write, whatever somebody else has put there.
        let arguments: [&[u8]; 3] = [&name, b"0", LONGEST_TEXT.as_bytes()];
        let get = Command { name: "GETRANGE", key: &name, arguments: &arguments };
        Ok(match self.redis.call(get).await? {
            Answer::Bytes(bytes) if bytes.is_empty() => None,
            Answer::Bytes(mut bytes) if bytes.len() >= VERSIONS_LEN => {
                Some(bytes.split_off(VERSIONS_LEN))
            }
            // Something that is not ours is for whoever opens it to refuse, and to count.
            Answer::Bytes(bytes) => Some(bytes),
            _ => None,
        })
    }

    async fn put(
        &self,
        namespace: &str,
        digest: &KeyDigest,
        entry: SharedEntry,
    ) -> Result<(), LookupError> {
        if VERSIONS_LEN + entry.sealed.len() > LONGEST {
            return Ok(());
        }
        let name = self.name(namespace, digest);
        let mut value = Vec::with_capacity(VERSIONS_LEN + entry.sealed.len());
        value.extend(packed(&entry.versions));
        value.extend(&entry.sealed);
        let lifetime = jittered(entry.lifetime, digest).as_millis().max(1).to_string();
        self.redis.eval(PUT, &[&name], &[&value, lifetime.as_bytes()]).await.map(drop)
    }

    async fn remove(&self, namespace: &str, digest: &KeyDigest) -> Result<(), LookupError> {
        let name = self.name(namespace, digest);
        let remove = Command { name: "DEL", key: &name, arguments: &[&name] };
        self.redis.call(remove).await.map(drop)
    }
}

/// The key's version first, which decides.
fn packed(versions: &Versions) -> impl Iterator<Item = u8> {
    let Versions { everything, tenant, owner, group, key } = versions;
    [key, everything, tenant, owner, group]
        .into_iter()
        .flat_map(|version| version.get().to_be_bytes())
}

/// A little less, each for another time, so that what was written together does not end together.
fn jittered(lifetime: Duration, digest: &KeyDigest) -> Duration {
    // Digests are as good as random.
    let [first, ..] = *digest.as_bytes();
    lifetime - lifetime / 10 * u32::from(first) / 255
}
