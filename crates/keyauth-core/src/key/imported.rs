//! Hashes by which other systems know their keys.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256, Sha512};

use super::KeyDigest;
use crate::record::words;

/// How many characters of a key may be known of it, beside a slow hash.
pub(crate) const PREFIX_LEN: std::ops::RangeInclusive<usize> = 4..=32;
/// The dearest bcrypt: about a second.
const MAX_BCRYPT_COST: u32 = 14;
/// The most memory of argon2, in KiB: whoever presents a key must not take more.
const MAX_ARGON2_MEMORY: u32 = 256 * 1_024;
const MAX_ARGON2_PASSES: u32 = 16;
const MAX_ARGON2_LANES: u32 = 16;
/// Bits that would be left over must be zero, as those who verify insist.
const NO_PAD: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone);
/// The longest hash in text.
const MAX_TEXT: usize = 512;

/// A hash of a key that another system made: by bcrypt, argon2, SHA-512 or SHA-256, the last two
/// without salt.
///
/// Read from how these are usually written: `$2b$12$..`, `$argon2id$v=19$m=65536,t=3,p=4$..`, and
/// hexadecimal digits or base64 for the others, `sha512$$` before them or not.
///
/// # Example
///
/// ```
/// use keyauth_core::{HashAlgorithm, ImportedHash};
///
/// let hash: ImportedHash =
///     "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".parse()?;
/// assert_eq!(hash.algorithm(), HashAlgorithm::Sha256);
/// assert_eq!(hash.verify_fast(b"hello"), Some(true));
/// # Ok::<(), keyauth_core::InvalidImportedHash>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedHash {
    algorithm: HashAlgorithm,
    text: Box<str>,
}

/// What makes hashes of keys in other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// bcrypt, of cost 14 at most.
    Bcrypt,
    /// argon2i, argon2d or argon2id, with 256 MiB, 16 passes and 16 lanes at most.
    Argon2,
    /// SHA-512 without salt.
    Sha512,
    /// SHA-256 without salt.
    Sha256,
}

words!(HashAlgorithm {
    Bcrypt => "bcrypt",
    Argon2 => "argon2",
    Sha512 => "sha512",
    Sha256 => "sha256",
});

impl HashAlgorithm {
    /// Whether it takes so long that it must be done once, elsewhere, and by few at once. A key is
    /// not found by such a hash, but by its beginning.
    #[must_use]
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::Bcrypt | Self::Argon2)
    }
}

/// A text is no hash that can be taken over. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidImportedHash(&'static str);

impl fmt::Display for InvalidImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidImportedHash {}

impl ImportedHash {
    /// What made it.
    #[must_use]
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// As it is stored: like the other system has it, or in hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a key's, where that takes no time; `None` where it does.
    #[must_use]
    pub fn verify_fast(&self, key: &[u8]) -> Option<bool> {
        // Who gets here was found by the whole hash already: there is nothing to learn by timing.
        match self.algorithm {
            HashAlgorithm::Sha256 => Some(hex(&Sha256::digest(key)) == *self.text),
            HashAlgorithm::Sha512 => Some(hex(&Sha512::digest(key)) == *self.text),
            HashAlgorithm::Bcrypt | HashAlgorithm::Argon2 => None,
        }
    }

    /// What tells it from others, without being it.
    pub(crate) fn fingerprint(&self) -> KeyDigest {
        lookup("hash", self.text.as_bytes())
    }

    /// What it is found by; `None` where that needs the beginning of the key.
    pub(crate) fn lookup(&self, prefix: Option<&str>) -> Option<KeyDigest> {
        if self.algorithm.is_slow() {
            prefix.map(|prefix| lookup("prefix", prefix.as_bytes()))
        } else {
            Some(lookup(self.algorithm.as_str(), self.text.as_bytes()))
        }
    }

    /// All that a presented key may be found by.
    pub(crate) fn lookups(key: &[u8]) -> Vec<KeyDigest> {
        let prefixes = PREFIX_LEN.filter_map(|length| key.get(..length));
        let prefixes = prefixes.map(|prefix| lookup("prefix", prefix));
        let sha256 = lookup("sha256", hex(&Sha256::digest(key)).as_bytes());
        let sha512 = lookup("sha512", hex(&Sha512::digest(key)).as_bytes());
        prefixes.chain([sha256, sha512]).collect()
    }
}

/// Digests, so that no part of a key reaches a store.
fn lookup(kind: &str, value: &[u8]) -> KeyDigest {
    KeyDigest::plain(&[kind.as_bytes(), b" ", value].concat())
}

impl fmt::Debug for ImportedHash {
    /// Says what made it, and not what it is: it can be tried against.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportedHash({}, ..)", self.algorithm.as_str())
    }
}

impl FromStr for ImportedHash {
    type Err = InvalidImportedHash;

    fn from_str(text: &str) -> Result<Self, InvalidImportedHash> {
        if text.len() > MAX_TEXT || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidImportedHash("must be at most 512 printable ASCII characters"));
        }
        // Django writes the algorithm, and between two signs a salt.
        if let Some((algorithm @ ("sha256" | "sha512"), hash)) = text.split_once("$$") {
            let hash = digest(hash)?;
            return match hash.algorithm.as_str() == algorithm {
                true => Ok(hash),
                false => Err(InvalidImportedHash("is not of the length that its algorithm has")),
            };
        }
        let algorithm = match text.strip_prefix('$').and_then(|rest| rest.split('$').next()) {
            Some("2a" | "2b" | "2y") => {
                check_bcrypt(text)?;
                HashAlgorithm::Bcrypt
            }
            Some("argon2i" | "argon2d" | "argon2id") => {
                check_argon2(text)?;
                HashAlgorithm::Argon2
            }
            _ if text.contains('$') => {
                return Err(InvalidImportedHash(
                    "is none of bcrypt ($2a$, $2b$, $2y$) or argon2 ($argon2id$, $argon2i$, $argon2d$)",
                ));
            }
            _ => return digest(text),
        };
        Ok(Self { algorithm, text: text.into() })
    }
}

/// `$2b$`, two digits, `$`, and 53 characters of salt and hash.
fn check_bcrypt(text: &str) -> Result<(), InvalidImportedHash> {
    let mut parts = text.split('$').skip(2);
    let cost = parts.next().filter(|cost| cost.len() == 2).and_then(number);
    let engine = GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD);
    let whole =
        parts.next().and_then(|rest| rest.split_at_checked(22)).is_some_and(|(salt, hash)| {
            let length = |text: &str| engine.decode(text).map_or(0, |bytes| bytes.len());
            (length(salt), length(hash)) == (16, 23)
        });
    match cost {
        Some(4..=MAX_BCRYPT_COST) if whole && parts.next().is_none() => Ok(()),
        Some(_) if whole => Err(InvalidImportedHash("has a bcrypt cost that is not 4 to 14")),
        _ => Err(InvalidImportedHash("is no whole bcrypt hash, which has 60 characters")),
    }
}

/// The parts of a PHC string: version, parameters, salt, hash. Each parameter once, since of two the
/// one that is used may not be the one that was looked at.
fn check_argon2(text: &str) -> Result<(), InvalidImportedHash> {
    let parts: Vec<_> = text.split('$').skip(2).collect();
    let [version, parameters, salt, hash] = parts[..] else {
        return Err(InvalidImportedHash(
            "is no whole argon2 hash: $argon2id$v=19$m=..,t=..,p=..$..$..",
        ));
    };
    let engine = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD);
    let length = |text: &str| engine.decode(text).map_or(0, |bytes| bytes.len());
    let known = ["v=19", "v=16"].contains(&version);
    if !known || !(8..=48).contains(&length(salt)) || !(10..=64).contains(&length(hash)) {
        return Err(InvalidImportedHash(
            "is an argon2 hash without a known version, a salt or a hash",
        ));
    }
    let mut found = parameters.split(',').map(|parameter| parameter.split_once('='));
    let mut next = |name| match found.next() {
        Some(Some((found, value))) if found == name => number(value),
        _ => None,
    };
    match (next("m"), next("t"), next("p"), found.next()) {
        (Some(m @ ..=MAX_ARGON2_MEMORY), Some(1..=MAX_ARGON2_PASSES), Some(p), None)
            if (1..=MAX_ARGON2_LANES).contains(&p) && m >= 8 * p =>
        {
            Ok(())
        }
        _ => Err(InvalidImportedHash(
            "has other argon2 parameters than m (8 times p to 262144), t (1 to 16) and p (1 to 16)",
        )),
    }
}

/// A decimal number as such hashes have it: without signs and leading zeros, but for costs of two digits.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = digits && (text.len() <= 2 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// Hexadecimal digits or base64, with or without padding, of either alphabet.
fn digest(text: &str) -> Result<ImportedHash, InvalidImportedHash> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let text = match text.len() {
        64 | 128 if is_hex => text.to_ascii_lowercase(),
        _ => {
            let standard = GeneralPurpose::new(&alphabet::STANDARD, config);
            let in_urls = GeneralPurpose::new(&alphabet::URL_SAFE, config);
            let bytes = standard.decode(text).or_else(|_| in_urls.decode(text));
            hex(&bytes.unwrap_or_default())
        }
    };
    let algorithm = match text.len() {
        64 => HashAlgorithm::Sha256,
        128 => HashAlgorithm::Sha512,
        _ => {
            return Err(InvalidImportedHash(
                "is neither SHA-256 nor SHA-512 in hexadecimal digits or base64",
            ));
        }
    };
    Ok(ImportedHash { algorithm, text: text.into() })
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
    const ARGON2: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[track_caller]
    fn check(text: &str, expected: Option<HashAlgorithm>) {
        let algorithm = text.parse::<ImportedHash>().map(|hash| hash.algorithm());
        assert_eq!(algorithm.ok(), expected, "{text}");
    }

    #[test]
    fn hashes_are_known_by_how_they_look() {
        check(BCRYPT, Some(HashAlgorithm::Bcrypt));
        check(&BCRYPT.replace("2b", "2y"), Some(HashAlgorithm::Bcrypt));
        check(&BCRYPT.replace("2b", "2x"), None);
        for cost in ["03", "15", "31", "4", "004", "-1"] {
            check(&BCRYPT.replace("12", cost), None);
        }
        check(&BCRYPT[..59], None);
        check(&format!("user:{BCRYPT}"), None);
        check(&BCRYPT.replace("3kh2O", "3kh2P"), None);
        check(&format!("{BCRYPT}$"), None);
        check(ARGON2, Some(HashAlgorithm::Argon2));
        for (good, bad) in [
            ("m=65536", "m=262145"),
            ("m=65536", "m=4294967296"),
            ("m=65536,", ""),
            ("t=2", "t=0"),
            ("t=2", "t=17"),
            ("p=1", "p=17"),
            ("v=19", "v=18"),
            ("$c29tZXNhbHQ", ""),
            ("argon2id", "argon2x"),
            ("m=65536", "m=8,m=65536"),
            ("p=1", "p=1,t=4294967295"),
            ("p=1", "p=1,keyid=x"),
            ("m=65536", "m=+65536"),
            ("m=65536", "m=065536"),
            ("m=65536,t=2,p=1", "m=65,t=2,p=9"),
            ("c29tZXNhbHQ", "c29tZQ"),
            ("GRPPc", "GRP"),
            ("$argon2id", "argon2$argon2id"),
        ] {
            check(&ARGON2.replace(good, bad), None);
        }
        check(&"0a".repeat(32), Some(HashAlgorithm::Sha256));
        check(&"0A".repeat(64), Some(HashAlgorithm::Sha512));
        check("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", Some(HashAlgorithm::Sha256));
        check("LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ", Some(HashAlgorithm::Sha256));
        check(&format!("sha512$${}", "0a".repeat(64)), Some(HashAlgorithm::Sha512));
        check(&format!("sha512$${}", "0a".repeat(32)), None);
        check(&format!("sha512$salt${}", "0a".repeat(64)), None);
        for bad in ["", "hello", "$", "$1$abc$def", &"0".repeat(63), "\u{e4}", &"a".repeat(513)] {
            check(bad, None);
        }
    }

    #[test]
    fn all_ways_to_write_a_digest_are_one() {
        let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let base64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
        let parse = |text: &str| text.parse::<ImportedHash>().expect("a hash");
        assert_eq!(parse(hex), parse(base64));
        assert_eq!(parse(hex), parse(&hex.to_uppercase()));
        assert_eq!(parse(hex).verify_fast(b"hello"), Some(true));
        assert_eq!(parse(hex).verify_fast(b"hellO"), Some(false));
        assert_eq!(parse(BCRYPT).verify_fast(b"hello"), None);
        assert_eq!(format!("{:?}", parse(BCRYPT)), "ImportedHash(bcrypt, ..)");
    }

    #[test]
    fn keys_are_found_by_their_hash_or_their_beginning() {
        let lookups = ImportedHash::lookups(b"hello");
        let sha256: ImportedHash =
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=".parse().expect("a hash");
        assert!(lookups.contains(&sha256.lookup(None).expect("by its hash")));
        let bcrypt: ImportedHash = BCRYPT.parse().expect("a hash");
        assert!(bcrypt.lookup(None).is_none());
        assert!(lookups.contains(&bcrypt.lookup(Some("hell")).expect("by its beginning")));
        assert!(!lookups.contains(&bcrypt.lookup(Some("helo")).expect("by its beginning")));
        assert_eq!(ImportedHash::lookups(&[b'x'; 256]).len(), 29 + 2);
        assert_eq!(ImportedHash::lookups(b"").len(), 2);
    }
}
