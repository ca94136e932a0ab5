//! Reading `Forwarded` and `X-Forwarded-For`, element by element from the right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::token::is_token;

/// The hops of one line, nearest first; `None` stands for one that names no address.
pub(super) type Hops = Vec<Option<IpAddr>>;

/// The hops of one `Forwarded` line from the right, without empty elements
/// (RFC 9110 section 5.6.1).
pub(super) fn forwarded(line: &[u8]) -> Hops {
    // Split once, so that a line of commas costs no more than its length.
    let elements = split(line, b',').filter(|element| !element.is_empty());
    let mut hops: Vec<_> = elements.map(parse_element).collect();
    hops.reverse();
    hops
}

/// The hops of one `X-Forwarded-For` line from the right, likewise. It knows no quotes.
pub(super) fn x_forwarded_for(line: &[u8]) -> Hops {
    let elements = line.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    elements.filter(|element| !element.is_empty()).map(parse_node).collect()
}

/// The trimmed parts between separators that stand in no quoted string.
///
/// Read from the left, since a backslash in quotes changes what follows it. An unclosed
/// quote makes one part of the rest, which [`parse_element`] takes for no element.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == separator && !quoted,
        }
        false
    });
    parts.map(<[u8]>::trim_ascii)
}

/// The node of the one `for` parameter of a `forwarded-element` (RFC 7239 section 4).
///
/// The whole element must be well-formed. Otherwise a client could open a quote that
/// swallows what a proxy appends to its line, and name itself before it.
fn parse_element(element: &[u8]) -> Option<IpAddr> {
    let mut node = None;
    for pair in split(element, b';').filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        let value = value.get(1..)?;
        if !is_token(name) || !(is_token(value) || is_quoted(value)) {
            return None;
        }
        // The same parameter twice is no element either.
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return None;
        }
    }
    let node = node?;
    match node.strip_prefix(b"\"") {
        Some(quoted) => parse_node(quoted.strip_suffix(b"\"")?),
        // A token cannot have the colons of IPv6 or of a port.
        None => parse_address::<Ipv4Addr>(node),
    }
}

/// Whether this is one complete `quoted-string` (RFC 9110 section 5.6.4).
fn is_quoted(text: &[u8]) -> bool {
    let Some(inner) = text.strip_prefix(b"\"") else { return false };
    let mut escaped = false;
    let end = inner.iter().position(|&byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        _ => byte == b'"',
    });
    end.is_some_and(|end| end + 1 == inner.len())
}

/// An address with or without a port, that of IPv6 in brackets where there is a port.
fn parse_node(node: &[u8]) -> Option<IpAddr> {
    if let Some(bracketed) = node.strip_prefix(b"[") {
        let close = bracketed.iter().position(|&byte| byte == b']')?;
        let (address, rest) = bracketed.split_at_checked(close)?;
        match rest.strip_prefix(b"]")? {
            [] => {}
            port => check_port(port.strip_prefix(b":")?)?,
        }
        return parse_address::<Ipv6Addr>(address);
    }
    let mut colons = node.iter().enumerate().filter(|(_, byte)| **byte == b':');
    match (colons.next(), colons.next()) {
        (None, _) => parse_address::<Ipv4Addr>(node),
        (Some((colon, _)), None) => {
            let (address, port) = node.split_at_checked(colon)?;
            check_port(port.get(1..)?)?;
            parse_address::<Ipv4Addr>(address)
        }
        (Some(_), Some(_)) => parse_address::<Ipv6Addr>(node),
    }
}

/// The standard library refuses leading zeros, short forms, hexadecimal IPv4 and zone ids.
fn parse_address<A: std::str::FromStr + Into<IpAddr>>(text: &[u8]) -> Option<IpAddr> {
    let address: A = str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.into().to_canonical())
}

fn check_port(port: &[u8]) -> Option<()> {
    // `u16::from_str` would take a sign.
    let digits = port.iter().all(u8::is_ascii_digit);
    str::from_utf8(port).ok().filter(|_| digits)?.parse::<u16>().ok().map(|_| ())
}
