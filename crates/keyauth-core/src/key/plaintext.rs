//! The text of a key, for the one moment it is shown.

use std::fmt;

use zeroize::Zeroizing;

use super::{
    CHECKSUM_LEN, ImportedHash, KeyDigest, KeyPrefix, PresentedKey, SECRET_LEN, base62,
    checksum::checksum,
};

/// A whole key in the clear.
///
/// It has neither `Display` nor `Serialize`, says nothing in `Debug`, and its memory is
/// overwritten on drop. Only [`PlaintextKey::reveal`] gives the text out.
///
/// ```compile_fail
/// fn serializable<T: serde::Serialize>() {}
/// serializable::<keyauth_core::PlaintextKey>();
/// ```
///
/// ```compile_fail
/// fn displayable<T: std::fmt::Display>() {}
/// displayable::<keyauth_core::PlaintextKey>();
/// ```
///
/// ```compile_fail
/// fn cloneable<T: Clone>() {}
/// cloneable::<keyauth_core::PlaintextKey>();
/// ```
pub struct PlaintextKey(Zeroizing<String>);

impl PlaintextKey {
    /// The text. Show it once and keep it nowhere.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A new key: 43 characters chosen uniformly by the operating system's generator.
    pub(crate) fn generate(prefix: &KeyPrefix) -> Result<Self, getrandom::Error> {
        let prefix = prefix.as_str();
        // The whole length at once: a growing string would leave copies behind.
        let mut text =
            Zeroizing::new(String::with_capacity(prefix.len() + 1 + SECRET_LEN + CHECKSUM_LEN));
        text.push_str(prefix);
        text.push('_');
        let end = text.len() + SECRET_LEN;
        let mut random = Zeroizing::new([0_u8; 64]);
        while text.len() < end {
            getrandom::fill(random.as_mut_slice())?;
            // Six bits a byte; the two values beyond the alphabet are thrown away, because
            // a remainder would favour some characters.
            let characters = random.iter().filter_map(|byte| base62::character(byte & 0x3f));
            for character in characters.take(end - text.len()) {
                text.push(char::from(character));
            }
        }
        for character in checksum(text.as_bytes()) {
            text.push(char::from(character));
        }
        Ok(Self(text))
    }

    /// All that may find the hash of this key, where it was imported: digests of its beginnings, and
    /// behind them those of hashes of the whole.
    #[must_use]
    pub fn import_lookups(&self) -> Vec<KeyDigest> {
        ImportedHash::lookups(self.0.as_bytes())
    }

    /// A copy of what was presented, for as long as it takes to recognise it.
    pub(crate) fn presented(key: PresentedKey<'_>) -> Option<Self> {
        std::str::from_utf8(key.as_bytes()).ok().map(Self::custom)
    }

    /// A key whose text somebody else has chosen and somebody else has checked.
    pub(crate) fn custom(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for PlaintextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlaintextKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_keys_have_no_twins_and_a_uniform_alphabet() {
        const KEYS: u32 = 1_000_000;
        let prefix = KeyPrefix::default();
        let mut seen = HashSet::with_capacity(1_000_000);
        let mut counts = [0_u64; 128];
        for _ in 0..KEYS {
            let key = PlaintextKey::generate(&prefix).expect("randomness");
            let secret: [u8; SECRET_LEN] =
                key.reveal().as_bytes()[3..3 + SECRET_LEN].try_into().expect("43 characters");
            for byte in secret {
                counts[usize::from(byte)] += 1;
            }
            assert!(seen.insert(secret), "the same secret twice");
        }
        let expected = f64::from(KEYS) * 43.0 / 62.0;
        let mut chi_square = 0.0;
        for value in 0..62 {
            let character = base62::character(value).expect("below 62");
            let count = counts[usize::from(character)];
            let off = f64::from(u32::try_from(count).expect("a small count")) - expected;
            chi_square += off * off / expected;
        }
        // 61 degrees of freedom: a uniform source exceeds 130 less than once in a million runs.
        assert!(chi_square < 130.0, "chi-square {chi_square}");
    }

    #[test]
    fn debug_says_nothing() {
        let key = PlaintextKey::generate(&KeyPrefix::default()).expect("randomness");
        assert_eq!(format!("{key:?}"), "PlaintextKey(..)");
    }
}
