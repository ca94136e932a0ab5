//! Which keys are ours, and how they are digested.

use std::sync::Arc;

use super::{
    CHECKSUM_LEN, CUSTOM_LEN, DigestScheme, IMPORTED_LEN, KeyDigest, KeyPrefix, Pepper,
    PresentedKey, SECRET_LEN, base62, checksum::checksum,
};
use crate::{InvalidInput, Problem};

/// The prefixes and peppers of a deployment: what makes a text one of its keys.
///
/// A store holds it, issues under its first prefix and newest pepper, and lends it to the
/// [`Authenticator`](crate::Authenticator), so that both always agree. Cloning is cheap.
///
/// # Example
///
/// ```
/// use keyauth_core::{KeyPrefix, Keyring, Parsed, Pepper};
///
/// let keyring = Keyring::new()
///     .with_prefix(KeyPrefix::new("sk_live")?)
///     .with_pepper(Pepper::new(1, [7; 32])?)?;
/// assert!(matches!(keyring.parse(b"sk_live_tooshort"), Parsed::Malformed));
/// assert!(matches!(keyring.parse(b"ghp_somebody_elses"), Parsed::Foreign));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Keyring(Arc<Rules>);

#[derive(Clone, Debug, Default)]
struct Rules {
    /// Empty means the default prefix alone.
    prefixes: Vec<KeyPrefix>,
    /// Newest first; the newest digests what is issued.
    peppers: Vec<Pepper>,
    unpeppered: bool,
    custom: bool,
    imported: bool,
}

/// What a presented text turned out to be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Parsed<'a> {
    /// Shaped like one of our keys: worth a lookup.
    Key(PresentedKey<'a>),
    /// It has one of our prefixes, but its length, alphabet or checksum is wrong. No cache
    /// and no store is asked.
    Malformed,
    /// Not ours: a token of some other system, or nothing at all.
    Foreign,
}

impl Keyring {
    /// Keys that begin with `sk_`, digested with SHA-256 without a pepper.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a prefix. The first one added is what keys are issued under unless told
    /// otherwise, and takes the place of `sk`: where keys under that are in use, add
    /// [`KeyPrefix::default()`] behind it.
    #[must_use]
    pub fn with_prefix(self, prefix: KeyPrefix) -> Self {
        self.change(|rules| rules.prefixes.push(prefix))
    }

    /// Adds a pepper, newest last. The last one added digests new secrets; the others go on
    /// admitting what they digested, at the cost of one more digest and lookup each.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] where another pepper has the same number.
    pub fn with_pepper(self, pepper: Pepper) -> Result<Self, InvalidInput> {
        if self.0.peppers.iter().any(|other| other.number() == pepper.number()) {
            return Err(Problem::new("pepper", "another one has the same number").into());
        }
        Ok(self.change(|rules| rules.peppers.insert(0, pepper)))
    }

    /// Whether secrets under the pepper of this number are recognized; with none, those that were
    /// stored without one.
    #[must_use]
    pub fn recognizes(&self, pepper: Option<u16>) -> bool {
        match pepper {
            Some(number) => self.0.peppers.iter().any(|pepper| pepper.number() == number),
            None => self.0.peppers.is_empty() || self.0.unpeppered,
        }
    }

    /// Goes on admitting keys stored without a pepper, beside those under peppers.
    ///
    /// For a deployment that had none before. While this is on, whoever can write to the
    /// database can mint keys, which a pepper otherwise prevents.
    #[must_use]
    pub fn insecure_accept_unpeppered(self) -> Self {
        self.change(|rules| rules.unpeppered = true)
    }

    /// Admits custom keys: 16 to 128 characters of `[A-Za-z0-9_-]` that do not begin with a
    /// prefix of ours. A tenant must allow them too before any can be issued.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] without a pepper: a text that people choose can be guessed from a
    /// bare hash. Add the pepper first.
    pub fn with_custom_keys(self) -> Result<Self, InvalidInput> {
        if self.0.peppers.is_empty() {
            return Err(Problem::new("custom_keys", "need a pepper; add one first").into());
        }
        Ok(self.change(|rules| rules.custom = true))
    }

    /// Admits keys that were imported from other systems: 8 to 256 printable ASCII characters
    /// without spaces that do not begin with a prefix of ours. What is so shaped is looked up; an
    /// [`Importer`](crate::Importer) recognises it when it is presented for the first time.
    ///
    /// While this is on, whoever can write to the database can mint keys, by importing their hash,
    /// which a pepper otherwise prevents.
    #[must_use]
    pub fn with_imported_keys(self) -> Self {
        self.change(|rules| rules.imported = true)
    }

    /// Whether keys of other systems are admitted.
    #[must_use]
    pub fn accepts_imported_keys(&self) -> bool {
        self.0.imported
    }

    /// Whether a text begins with one of our prefixes, or is the beginning of what does.
    pub(crate) fn begins_like_ours(&self, text: &[u8]) -> bool {
        let default = [KeyPrefix::default()];
        let prefixes = if self.0.prefixes.is_empty() { &default } else { &*self.0.prefixes };
        let begins =
            |prefix: &KeyPrefix| format!("{}_", prefix.as_str()).as_bytes().starts_with(text);
        self.body(text).is_some() || prefixes.iter().any(begins)
    }

    /// Whether a text may be a key of another system.
    pub(crate) fn may_be_imported(&self, text: &[u8]) -> bool {
        self.0.imported && is_imported(text) && self.body(text).is_none()
    }

    /// The prefix that keys are issued under unless told otherwise.
    #[must_use]
    pub fn default_prefix(&self) -> KeyPrefix {
        self.0.prefixes.first().cloned().unwrap_or_default()
    }

    /// Whether `prefix` is one of ours.
    #[must_use]
    pub fn has_prefix(&self, prefix: &KeyPrefix) -> bool {
        if self.0.prefixes.is_empty() {
            *prefix == KeyPrefix::default()
        } else {
            self.0.prefixes.contains(prefix)
        }
    }

    /// Whether custom keys are admitted.
    #[must_use]
    pub fn accepts_custom_keys(&self) -> bool {
        self.0.custom
    }

    /// Says what a presented text is, from length, alphabet, prefix and checksum alone.
    ///
    /// Allocates nothing and asks nobody. Takes bytes, because that is what a header holds.
    #[must_use]
    pub fn parse<'a>(&self, text: &'a [u8]) -> Parsed<'a> {
        match self.body(text) {
            Some(body) if is_well_formed(text, body) => Parsed::Key(PresentedKey::new(text)),
            Some(_) => Parsed::Malformed,
            None if self.0.custom && is_custom(text) => Parsed::Key(PresentedKey::new(text)),
            None if self.0.imported && is_imported(text) => Parsed::Key(PresentedKey::new(text)),
            None => Parsed::Foreign,
        }
    }

    /// Whether a text is a generated key of ours, down to its checksum.
    ///
    /// What a scanner for leaked keys asks.
    #[must_use]
    pub fn recognises(&self, text: &[u8]) -> bool {
        self.body(text).is_some_and(|body| is_well_formed(text, body))
    }

    /// Whether a text holds a generated key of ours anywhere in it.
    #[must_use]
    pub fn finds_in(&self, text: &[u8]) -> bool {
        const BODY: usize = SECRET_LEN + CHECKSUM_LEN;
        let underscores = text.iter().enumerate().filter(|(_, byte)| **byte == b'_');
        underscores.map(|(at, _)| at).any(|at| {
            let key = text.get(..at + 1 + BODY).unwrap_or_default();
            // Few texts have a body's length of base62 behind an underscore; only for those
            // is the beginning looked for.
            let body = key.get(at + 1..).unwrap_or_default();
            body.len() == BODY
                && body.iter().all(|&byte| base62::contains(byte))
                && self.prefix_lengths().any(|length| {
                    at.checked_sub(length)
                        .and_then(|start| key.get(start..))
                        .is_some_and(|key| self.recognises(key))
                })
        })
    }

    /// Whether a text may be issued as a custom key.
    pub(crate) fn accepts_as_custom(&self, text: &str) -> bool {
        is_custom(text.as_bytes()) && self.body(text.as_bytes()).is_none()
    }

    /// Every digest a key may be stored under, the likeliest first.
    pub(crate) fn digests<'a>(
        &'a self,
        key: PresentedKey<'a>,
    ) -> impl Iterator<Item = KeyDigest> + 'a {
        let text = key.as_bytes();
        let peppered = self.0.peppers.iter().map(move |pepper| KeyDigest::peppered(text, pepper));
        let plain = self.recognizes(None);
        peppered.chain(plain.then_some(()).into_iter().map(move |()| KeyDigest::plain(text)))
    }

    /// The digest to store for a new secret, and how it was made.
    pub(crate) fn digest_new(&self, text: &str) -> (KeyDigest, DigestScheme) {
        let text = text.as_bytes();
        match self.0.peppers.first() {
            Some(pepper) => {
                (KeyDigest::peppered(text, pepper), DigestScheme::HmacSha256(pepper.number()))
            }
            None => (KeyDigest::plain(text), DigestScheme::Sha256),
        }
    }

    /// What follows one of our prefixes and its underscore: the longest prefix that fits,
    /// so that `sk` beside `sk_live` does not judge the other's keys.
    fn body<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        if self.0.prefixes.is_empty() {
            return text.strip_prefix(b"sk_");
        }
        self.0.prefixes.iter().filter_map(|prefix| prefix.strip(text)).min_by_key(|body| body.len())
    }

    fn prefix_lengths(&self) -> impl Iterator<Item = usize> {
        let own = self.0.prefixes.iter().map(|prefix| prefix.as_str().len());
        own.chain(self.0.prefixes.is_empty().then_some("sk".len()))
    }

    fn change(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

fn is_well_formed(text: &[u8], body: &[u8]) -> bool {
    // The length first: whatever is megabytes long is refused before it is read.
    body.len() == SECRET_LEN + CHECKSUM_LEN
        && body.iter().all(|&byte| base62::contains(byte))
        && text.split_last_chunk().is_some_and(|(rest, last)| checksum(rest) == *last)
}

fn is_custom(text: &[u8]) -> bool {
    CUSTOM_LEN.contains(&text.len())
        && text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn is_imported(text: &[u8]) -> bool {
    IMPORTED_LEN.contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::PlaintextKey;

    fn keyring() -> Keyring {
        let prefix = |text| KeyPrefix::new(text).expect("a prefix");
        Keyring::new().with_prefix(prefix("sk_live")).with_prefix(prefix("sk"))
    }

    #[track_caller]
    fn check(keyring: &Keyring, text: &[u8], expected: &str) {
        let parsed = match keyring.parse(text) {
            Parsed::Key(_) => "key",
            Parsed::Malformed => "malformed",
            Parsed::Foreign => "foreign",
        };
        assert_eq!(parsed, expected, "{:?}", String::from_utf8_lossy(text));
    }

    #[test]
    fn every_changed_character_is_found() {
        // C9: one character short, long, changed, case flipped; wrong checksum, wrong prefix.
        let keyring = keyring();
        let key = PlaintextKey::generate(&keyring.default_prefix()).expect("randomness");
        let key = key.reveal().as_bytes();
        check(&keyring, key, "key");
        check(&keyring, &key[..key.len() - 1], "malformed");
        check(&keyring, &[key, b"0"].concat(), "malformed");
        for position in 8..key.len() {
            let mut changed = key.to_vec();
            changed[position] = if key[position] == b'x' { b'y' } else { b'x' };
            check(&keyring, &changed, "malformed");
            changed[position] = key[position] ^ 0x20;
            if changed[position].is_ascii_alphabetic() {
                check(&keyring, &changed, "malformed");
            }
        }
        check(&keyring, &[b"SK_LIVE", &key[7..]].concat(), "foreign");
        check(&keyring, &[b"sk", &key[7..]].concat(), "malformed");
        check(&keyring, &[key, b" "].concat(), "malformed");
        check(&keyring, "sk_live_\u{430}".as_bytes(), "malformed");
        check(&keyring, b"", "foreign");
        check(&keyring, b"sk_", "malformed");
    }

    #[test]
    fn keys_are_found_inside_of_texts() {
        let keyring = keyring();
        let key = PlaintextKey::generate(&keyring.default_prefix()).expect("randomness");
        let key = key.reveal();
        for around in ["@", " @ ", "x_@_x", "http://x/?k=@&a", "Bearer @", "\"@\"", "@@"] {
            assert!(keyring.finds_in(around.replace('@', key).as_bytes()), "{around}");
        }
        let mut changed = key.to_owned();
        changed.pop();
        for other in ["", "_", &changed, &key[1..], &key.replacen('_', "-", 2), &"_".repeat(999)] {
            assert!(!keyring.finds_in(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn custom_keys_need_permission_and_a_pepper() {
        assert!(keyring().with_custom_keys().is_err());
        let custom = b"my-own-key_0123456789";
        check(&keyring(), custom, "foreign");
        let pepper = Pepper::new(1, [1; 32]).expect("32 bytes");
        let keyring = keyring().with_pepper(pepper).and_then(Keyring::with_custom_keys);
        let keyring = keyring.expect("a pepper");
        check(&keyring, custom, "key");
        check(&keyring, b"fifteen-chars-x", "foreign");
        check(&keyring, &[b'x'; 128], "key");
        check(&keyring, &[b'x'; 129], "foreign");
        check(&keyring, b"not.of.our.alphabet", "foreign");
        check(&keyring, b"sk_live_custom-under-our-prefix", "malformed");
    }

    #[test]
    fn an_unpeppered_digest_is_tried_only_when_asked_for() {
        let pepper = |number| Pepper::new(number, [2; 32]).expect("32 bytes");
        let count = |keyring: &Keyring| keyring.digests(PresentedKey::new(b"x")).count();
        let keyring = Keyring::new();
        assert_eq!(count(&keyring), 1);
        let keyring = keyring.with_pepper(pepper(1)).expect("a new number");
        assert_eq!(count(&keyring), 1);
        assert!(keyring.clone().with_pepper(pepper(1)).is_err());
        let keyring = keyring.with_pepper(pepper(2)).expect("a new number");
        assert_eq!(count(&keyring), 2);
        assert_eq!(keyring.digest_new("x").1, DigestScheme::HmacSha256(2));
        assert_eq!(count(&keyring.insecure_accept_unpeppered()), 3);
    }

    #[test]
    fn a_short_pepper_is_refused_and_no_pepper_prints() {
        assert!(Pepper::new(1, [0; 31]).is_err());
        let pepper = Pepper::new(9, b"an unmistakable pepper of 32 bytes").expect("32 bytes");
        let keyring = Keyring::new().with_pepper(pepper).expect("a new number");
        let printed = format!("{keyring:?}");
        assert!(printed.contains("number: 9") && !printed.contains("unmistakable"), "{printed}");
    }

    proptest! {
        #[test]
        fn what_is_generated_is_recognised(prefix in "[A-Za-z0-9]([A-Za-z0-9_]{0,30}[A-Za-z0-9])?") {
            prop_assume!(prefix != "other");
            let prefix = KeyPrefix::new(&prefix).expect("a prefix");
            let keyring = Keyring::new().with_prefix(prefix.clone());
            let key = PlaintextKey::generate(&prefix).expect("randomness");
            prop_assert!(keyring.recognises(key.reveal().as_bytes()));
            prop_assert!(matches!(keyring.parse(key.reveal().as_bytes()), Parsed::Key(_)));
            prop_assert!(!Keyring::new().with_prefix(KeyPrefix::new("other").expect("a prefix"))
                .recognises(key.reveal().as_bytes()));
        }

        #[test]
        fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let prefixed = [b"sk_", bytes.as_slice()].concat();
            prop_assert!(!matches!(keyring().parse(&prefixed), Parsed::Foreign));
            let _ = keyring().parse(&bytes);
        }
    }
}
