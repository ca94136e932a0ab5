//! From where a key may be used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::ranges::Ranges;
use crate::{InvalidInput, Problem};

/// A set of networks, with a lookup that does not slow down as it grows.
///
/// Overlapping networks are merged, so that those left are disjoint and a search over them
/// decides. Written as CIDR (RFC 4632) or as a single address. IPv4 addresses
/// mapped into IPv6 (RFC 4291 section 2.5.5.2) count as IPv4 throughout; `::/0` therefore
/// holds no IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct AddressSet(
    /// Behind a pointer, since most keys have none: a record is to be small.
    Option<Box<Networks>>,
);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Networks {
    /// As they were given, in canonical form.
    patterns: Vec<IpNet>,
    /// Stored texts that are no patterns, kept so that an update elsewhere loses nothing.
    unreadable: Vec<String>,
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl AddressSet {
    /// Reads one pattern: `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`.
    ///
    /// Leading zeros, shortened and hexadecimal IPv4, zone ids, spaces, lengths out of
    /// range and bits set beyond the length are refused, since readers disagree on them.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern, to put behind the name of a field.
    pub fn parse_pattern(text: &str) -> Result<IpNet, &'static str> {
        const NEITHER: &str = "is no address and no network in CIDR notation";
        // Not by ipnet's own reader, which takes leading zeros.
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NEITHER)?;
        let net = match len {
            None => IpNet::from(address),
            // `u8::from_str` takes a sign and leading zeros; a prefix length has neither.
            Some(len) if len.len() > 1 && len.starts_with(['0', '+']) => return Err(NEITHER),
            Some(len) => {
                let len = len.parse().map_err(|_| NEITHER)?;
                IpNet::new(address, len).map_err(|_| NEITHER)?
            }
        };
        if net.addr() != net.network() {
            return Err("has bits set beyond its prefix length");
        }
        Ok(canonical_net(net))
    }

    /// Reads patterns strictly.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] with a problem for each that is none, as `field[3]`.
    pub fn parse<T: AsRef<str>>(
        field: &str,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidInput> {
        let mut nets = Vec::new();
        let mut problems = Vec::new();
        for (at, text) in patterns.into_iter().enumerate() {
            match Self::parse_pattern(text.as_ref()) {
                Ok(net) => nets.push(net),
                Err(problem) => problems.push(Problem::new(format!("{field}[{at}]"), problem)),
            }
        }
        if problems.is_empty() {
            Ok(nets.into_iter().collect())
        } else {
            Err(InvalidInput::new(problems))
        }
    }

    /// Takes patterns back from a store, keeping what is unreadable aside.
    pub fn from_stored<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Self {
        let mut readable = Vec::new();
        let mut unreadable = Vec::new();
        for text in patterns {
            match Self::parse_pattern(text.as_ref()) {
                Ok(net) => readable.push(net),
                Err(_) => unreadable.push(text.as_ref().to_owned()),
            }
        }
        Networks::new(readable, unreadable).into()
    }

    /// Whether an address lies in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.as_ref().is_some_and(|networks| networks.contain(address))
    }

    /// Whether nothing at all was given, not even something unreadable.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether something was given that cannot be read.
    fn is_partly_unreadable(&self) -> bool {
        self.0.as_ref().is_some_and(|networks| !networks.unreadable.is_empty())
    }

    /// The patterns as texts, those that cannot be read included.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        let Some(Networks { patterns, unreadable, .. }) = self.0.as_deref() else {
            return Vec::new();
        };
        let readable = patterns.iter().map(ToString::to_string);
        readable.chain(unreadable.iter().cloned()).collect()
    }
}

impl Networks {
    fn new(nets: impl IntoIterator<Item = IpNet>, unreadable: Vec<String>) -> Self {
        let patterns: Vec<_> = nets.into_iter().map(canonical_net).collect();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in &patterns {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        let v4 = Ranges::new(v4, |address| address.checked_add(1));
        let v6 = Ranges::new(v6, |address| address.checked_add(1));
        Self { patterns, unreadable, v4, v6 }
    }

    fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contain(address.to_bits()),
            IpAddr::V6(address) => self.v6.contain(address.to_bits()),
        }
    }
}

impl From<Networks> for AddressSet {
    fn from(networks: Networks) -> Self {
        let empty = networks.patterns.is_empty() && networks.unreadable.is_empty();
        Self((!empty).then(|| Box::new(networks)))
    }
}

impl FromIterator<IpNet> for AddressSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        Networks::new(nets, Vec::new()).into()
    }
}

impl From<Vec<String>> for AddressSet {
    fn from(patterns: Vec<String>) -> Self {
        Self::from_stored(patterns)
    }
}

impl From<AddressSet> for Vec<String> {
    fn from(set: AddressSet) -> Self {
        set.to_texts()
    }
}

/// A network of IPv4-mapped IPv6 addresses as the IPv4 network it stands for.
fn canonical_net(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped: Option<Ipv4Addr> = Ipv6Addr::to_ipv4_mapped(&v6.addr());
    mapped
        .zip(v6.prefix_len().checked_sub(96))
        .and_then(|(address, len)| Ipv4Net::new(address, len).ok())
        .map_or(net, IpNet::V4)
}

/// The addresses a key may and may not be used from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressRules {
    /// Where not empty, only addresses in here may use the key.
    pub allow: AddressSet,
    /// Addresses in here may not use the key, also where `allow` holds them.
    pub deny: AddressSet,
}

impl AddressRules {
    /// Whether an address may use the key; an unknown one may only where there is no rule.
    #[must_use]
    pub fn admit(&self, address: Option<IpAddr>) -> bool {
        if self.allow.is_empty() && self.deny.is_empty() {
            return true;
        }
        // Whom an unreadable pattern would have denied cannot be known, so it denies all.
        if self.deny.is_partly_unreadable() {
            return false;
        }
        address.is_some_and(|address| {
            !self.deny.contains(address) && (self.allow.is_empty() || self.allow.contains(address))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str], deny: &[&str]) -> AddressRules {
        AddressRules { allow: AddressSet::from_stored(allow), deny: AddressSet::from_stored(deny) }
    }

    #[track_caller]
    fn check(rules: &AddressRules, address: &str, admitted: bool) {
        assert_eq!(rules.admit(address.parse().ok()), admitted, "{address}");
    }

    #[test]
    fn allow_and_deny_decide_together() {
        check(&rules(&[], &[]), "192.0.2.1", true);
        check(&rules(&[], &[]), "unknown", true);
        let office = rules(&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.66"]);
        check(&office, "192.0.2.1", true);
        check(&office, "192.0.2.66", false); // A4: in both lists
        check(&office, "198.51.100.1", false);
        check(&office, "2001:db8:1::1", true);
        check(&office, "2001:db9::1", false);
        check(&office, "unknown", false);
        check(&rules(&[], &["192.0.2.0/24"]), "198.51.100.1", true);
        check(&rules(&[], &["192.0.2.0/24"]), "unknown", false);
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        // A5
        check(&rules(&["10.0.0.0/8"], &[]), "::ffff:10.0.0.1", true);
        check(&rules(&["::ffff:10.0.0.0/104"], &[]), "10.1.2.3", true);
        check(&rules(&["::/0"], &[]), "10.0.0.1", false);
        check(&rules(&["0.0.0.0/0"], &[]), "::ffff:10.0.0.1", true);
    }

    #[test]
    fn unreadable_rows_fail_closed() {
        // A4: an allow list of invalid patterns only admits nobody; nor does a deny list
        // that cannot be read in full.
        check(&rules(&["10.0.0.0/33", "everywhere"], &[]), "10.0.0.1", false);
        check(&rules(&["10.0.0.0/8", "everywhere"], &[]), "10.0.0.1", true);
        check(&rules(&["10.0.0.0/8"], &["evil.example.org"]), "10.0.0.1", false);
        let set = AddressSet::from_stored(["everywhere"]);
        assert_eq!(AddressSet::from(set.to_texts()), set);
    }

    #[test]
    fn doubtful_patterns_are_refused() {
        // A6, A7, G9
        for good in ["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32", "0.0.0.0/0", "::/0"] {
            assert!(AddressSet::parse_pattern(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "10.0.0.0/33",
            "10.0.0.1/8",
            " 10.0.0.1",
            "10.0.0.1 ",
            "010.0.0.1",
            "0x7f.1",
            "127.1",
            "010.0.0.0/8",
            "192.168.001.0/24",
            "::ffff:010.0.0.0/104",
            "1::2:3:4:5:6:7:8/128",
            "fe80::1%eth0",
            "fe80::/10%1",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "::/129",
            "10.0.0.0/8/8",
            "example.org",
            "*",
            "10.*",
            "1.2.3.4:80",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0-10.0.0.9",
            "[::1]",
        ] {
            assert!(AddressSet::parse_pattern(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_thousand_networks_agree_with_a_scan() {
        let nets: Vec<IpNet> = (0..1_000_u32)
            .map(|i| {
                let address = Ipv4Addr::from(i.wrapping_mul(0x9E37_79B9));
                let len = 8 + u8::try_from(i % 25).expect("small");
                IpNet::new(address.into(), len).expect("a length in range").trunc()
            })
            .collect();
        let set: AddressSet = nets.iter().copied().collect();
        for i in 0..20_000_u32 {
            let address = IpAddr::from(Ipv4Addr::from(i.wrapping_mul(0x85EB_CA6B)));
            assert_eq!(
                set.contains(address),
                nets.iter().any(|net| net.contains(&address)),
                "{address}"
            );
        }
    }
}
