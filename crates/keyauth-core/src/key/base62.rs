//! The alphabet of keys: digits, upper case, lower case.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The character for a value below 62; `None` for any other.
pub(crate) fn character(value: u8) -> Option<u8> {
    ALPHABET.get(usize::from(value)).copied()
}

/// Whether a byte is one of the 62 characters.
pub(crate) fn contains(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}
