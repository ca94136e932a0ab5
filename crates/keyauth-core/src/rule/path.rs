//! Paths that servers and proxies are known to read in different ways.

/// Whether a request path means different things to different readers (acceptance A8).
///
/// Where it does, a rule could judge one path while the service answers another. Found are
/// empty and dot segments, backslashes, path parameters (`;`), and the percent-encodings
/// that hide a slash, backslash, dot, semicolon, percent sign or control character, as well
/// as percent signs that encode nothing.
pub(crate) fn is_ambiguous(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return true;
    };
    let mut rest = segments.split('/').peekable();
    while let Some(segment) = rest.next() {
        // An empty last segment is a trailing slash, which every reader sees.
        let hidden = segment.is_empty() && rest.peek().is_some();
        if hidden || segment == "." || segment == ".." || is_ambiguous_segment(segment) {
            return true;
        }
    }
    false
}

fn is_ambiguous_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' | b';' | 0..=0x20 | 0x7f => return true,
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match digit(bytes.next())
                    .zip(digit(bytes.next()))
                    .map(|(high, low)| high * 16 + low)
                {
                    None | Some(0x00..=0x1f | 0x25 | 0x2e | 0x2f | 0x3b | 0x5c | 0x7f) => {
                        return true;
                    }
                    Some(_) => {}
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_agree_on_plain_paths_only() {
        for plain in [
            "/",
            "/admin",
            "/ADMIN/",
            "/a/b%20c",
            "/caf%C3%A9",
            "/a.b/..c",
            "/pkg.Service/Call",
            "/a:b,c=d",
        ] {
            assert!(!is_ambiguous(plain), "{plain}");
        }
        for doubtful in [
            "",
            "*",
            "admin",
            "//",
            "//admin",
            "/a//b",
            "/.",
            "/a/..",
            "/../admin",
            "/a/./b",
            "/%2e%2e/admin",
            "/%2E",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a;x",
            "/a;x=1/b",
            "/a%3Bx",
            "/%252e",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%00",
            "/a%0d%0ab",
            "/a%7f",
        ] {
            assert!(is_ambiguous(doubtful), "{doubtful}");
        }
    }
}
