//! The key itself: its text, its checksum, its digest.
//!
//! A generated key reads `{prefix}_{secret}{checksum}`: a prefix like `sk_live`, 43
//! base62 characters from the operating system (256 bits), and 6 base62 characters of
//! CRC-32 over all before. The checksum lets a scanner recognise a leaked key and lets
//! the service refuse a mistyped one without asking anybody; it proves nothing.

mod base62;
mod checksum;
mod digest;
mod hint;
mod imported;
mod keyring;
mod pepper;
mod plaintext;
mod prefix;
mod presented;

pub use digest::{DigestScheme, KeyDigest};
pub use hint::KeyHint;
pub(crate) use imported::PREFIX_LEN;
pub use imported::{HashAlgorithm, ImportedHash, InvalidImportedHash};
pub use keyring::{Keyring, Parsed};
pub use pepper::Pepper;
pub use plaintext::PlaintextKey;
pub use prefix::{InvalidPrefix, KeyPrefix};
pub use presented::PresentedKey;

/// Characters of the secret part: 43 times log2(62) is 256.03 bits.
pub(crate) const SECRET_LEN: usize = 43;
/// Characters of the checksum part: 62 to the 6th is above 2 to the 32nd.
pub(crate) const CHECKSUM_LEN: usize = 6;
/// The shortest and the longest imported key, in characters.
pub(crate) const IMPORTED_LEN: std::ops::RangeInclusive<usize> = 8..=256;
/// The shortest and the longest custom key, in characters.
pub(crate) const CUSTOM_LEN: std::ops::RangeInclusive<usize> = 16..=128;
