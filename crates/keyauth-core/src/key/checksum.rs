//! The last six characters of a key.

use super::{CHECKSUM_LEN, base62};

/// CRC-32 (IEEE 802.3) of `text` in base62, most significant character first.
pub(crate) fn checksum(text: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(text);
    let mut characters = [b'0'; CHECKSUM_LEN];
    for character in characters.iter_mut().rev() {
        let digit = u8::try_from(rest % 62).unwrap_or_default();
        *character = base62::character(digit).unwrap_or(b'0');
        rest /= 62;
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // CRC-32 of nothing is 0; of "123456789" it is the catalogued 0xCBF43926.
        assert_eq!(&checksum(b""), b"000000");
        let mut value = 0_u64;
        for byte in checksum(b"123456789") {
            let digit = (0..62).find(|&d| base62::character(d) == Some(byte));
            value = value * 62 + u64::from(digit.expect("a base62 character"));
        }
        assert_eq!(value, 0xCBF4_3926);
    }
}
