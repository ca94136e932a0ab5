//! Where a request comes from.

mod forwarded;
mod peer;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::header::{FORWARDED, HeaderName};
use keyauth_core::{AddressSet, InvalidInput};

use crate::RequestHead;
pub use peer::PeerAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Finds the address of the client behind a request.
///
/// By default that of the peer: of whoever opened the connection. Headers are believed
/// only from proxies that were configured, and only one kind of header, since a proxy that
/// writes one passes the other on as the client sent it.
///
/// The peer is found in the request's extensions: [`PeerAddress`], axum's `ConnectInfo`
/// (feature `axum`; serve with `into_make_service_with_connect_info::<SocketAddr>()`), or
/// tonic's `TcpConnectInfo` (feature `tonic`). Where there is none, the address is unknown,
/// and a key with address rules is refused.
///
/// # Example
///
/// ```
/// use keyauth_tower::{ClientAddress, ForwardingHeader};
///
/// let address = ClientAddress::behind(ForwardingHeader::XForwardedFor, ["10.0.0.0/8", "::1"])?;
/// # let _ = address;
/// # Ok::<(), keyauth_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientAddress(Finder);

#[derive(Clone, Default)]
enum Finder {
    #[default]
    Peer,
    Proxies(ForwardingHeader, Arc<AddressSet>),
    FromFn(Arc<Find>),
}

type Find = dyn Fn(&RequestHead<'_>) -> Option<IpAddr> + Send + Sync;

/// The header in which proxies name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardingHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`, the older convention.
    XForwardedFor,
}

impl ClientAddress {
    /// The peer's.
    #[must_use]
    pub fn peer() -> Self {
        Self::default()
    }

    /// What trusted proxies say it is.
    ///
    /// Where the peer is one of `proxies` (addresses and networks), the header is read from
    /// the right: trusted hops are skipped, and the first other address is the client. At
    /// something that is no address reading stops, and the client is unknown. Where nothing
    /// but trusted hops is left, the first of them is the client.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] naming every pattern that is none.
    pub fn behind<T: AsRef<str>>(
        header: ForwardingHeader,
        proxies: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidInput> {
        let proxies = AddressSet::parse("proxies", proxies)?;
        Ok(Self(Finder::Proxies(header, Arc::new(proxies))))
    }

    /// What a closure makes of the request, for a header of a content network, say. The
    /// closure must make sure that the client did not write that header itself.
    pub fn from_fn<F>(find: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<IpAddr> + Send + Sync + 'static,
    {
        Self(Finder::FromFn(Arc::new(find)))
    }

    /// The address of the client, or `None` where it is unknown.
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        let address = match &self.0 {
            Finder::Peer => peer::address(head),
            Finder::Proxies(header, proxies) => behind(*header, proxies, head),
            Finder::FromFn(find) => find(head),
        };
        address.map(|address| address.to_canonical())
    }
}

/// The client's network: the address itself, or of IPv6 the `/64`, of which one client has as
/// many addresses as it likes.
pub(crate) fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", Ipv6Addr::from(network))
        }
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer => f.write_str("Peer"),
            Self::Proxies(header, proxies) => {
                f.debug_tuple("Proxies").field(header).field(&proxies.to_texts()).finish()
            }
            Self::FromFn(_) => f.write_str("FromFn(..)"),
        }
    }
}

fn behind(
    header: ForwardingHeader,
    proxies: &AddressSet,
    head: &RequestHead<'_>,
) -> Option<IpAddr> {
    let mut client = peer::address(head)?;
    let (name, read): (_, fn(&[u8]) -> forwarded::Hops) = match header {
        ForwardingHeader::Forwarded => (FORWARDED, forwarded::forwarded),
        ForwardingHeader::XForwardedFor => (X_FORWARDED_FOR, forwarded::x_forwarded_for),
    };
    // Several lines are one list (RFC 9110 section 5.3), so the last line comes first here.
    let lines = head.headers.get_all(name).iter();
    let mut hops = lines.rev().flat_map(|line| read(line.as_bytes()));
    while proxies.contains(client) {
        match hops.next() {
            Some(hop) => client = hop?,
            None => break,
        }
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(header: ForwardingHeader, peer: &str, lines: &[&str], expected: Option<&str>) {
        let address = ClientAddress::behind(header, ["10.0.0.0/8", "fd00::/8"]).expect("networks");
        let name = match header {
            ForwardingHeader::Forwarded => "forwarded",
            ForwardingHeader::XForwardedFor => "x-forwarded-for",
        };
        let mut request = Request::builder().header("x-real-ip", "192.0.2.250");
        for line in lines {
            request = request.header(name, *line);
        }
        let mut request = request.body(()).expect("a request");
        let peer: IpAddr = peer.parse().expect("an address");
        request.extensions_mut().insert(PeerAddress((peer, 1).into()));
        let expected = expected.map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(address.find(&RequestHead::of(&request)), expected, "{peer} {lines:?}");
    }

    #[test]
    fn headers_count_from_trusted_peers_only() {
        use ForwardingHeader::XForwardedFor as Xff;
        check(Xff, "198.51.100.9", &["192.0.2.1"], Some("198.51.100.9")); // A1
        check(Xff, "10.0.0.1", &["192.0.2.1"], Some("192.0.2.1")); // A2
        check(Xff, "::ffff:10.0.0.1", &["192.0.2.1"], Some("192.0.2.1"));
        check(Xff, "10.0.0.1", &["203.0.113.5, 192.0.2.1"], Some("192.0.2.1"));
        check(Xff, "10.0.0.1", &["203.0.113.5, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1"));
        check(
            Xff,
            "10.0.0.1",
            &["203.0.113.5", "192.0.2.1,10.0.0.3", "10.0.0.2"],
            Some("192.0.2.1"),
        ); // A3
        check(Xff, "10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3"));
        check(Xff, "10.0.0.1", &[], Some("10.0.0.1"));
        check(Xff, "10.0.0.1", &["192.0.2.1, ,,10.0.0.2,"], Some("192.0.2.1"));
    }

    #[test]
    fn garbage_makes_the_client_unknown() {
        use ForwardingHeader::XForwardedFor as Xff;
        // A6
        for garbage in [
            "unknown",
            "010.0.0.1",
            "0x7f.1",
            "127.1",
            "fe80::1%eth0",
            "1.2.3.4:x",
            "[::1",
            "::1]",
            "1.2.3.4:99999",
            "\"1.2.3.4",
        ] {
            check(Xff, "10.0.0.1", &[&format!("192.0.2.1, {garbage}")], None);
            check(Xff, "10.0.0.1", &[&format!("{garbage}, 192.0.2.1")], Some("192.0.2.1"));
        }
    }

    #[test]
    fn nodes_have_ports_brackets_and_quotes() {
        use ForwardingHeader::{Forwarded, XForwardedFor as Xff};
        // A5
        check(Xff, "10.0.0.1", &["192.0.2.1:443"], Some("192.0.2.1"));
        check(Xff, "10.0.0.1", &["[2001:db8::1]:443"], Some("2001:db8::1"));
        check(Xff, "10.0.0.1", &["2001:db8::1"], Some("2001:db8::1"));
        check(Xff, "10.0.0.1", &["::ffff:192.0.2.1"], Some("192.0.2.1"));
        check(Forwarded, "10.0.0.1", &["for=192.0.2.1"], Some("192.0.2.1"));
        check(Forwarded, "10.0.0.1", &["FOR=192.0.2.1;proto=https"], Some("192.0.2.1"));
        check(Forwarded, "10.0.0.1", &["proto=https; For=\"192.0.2.1:80\""], Some("192.0.2.1"));
        check(
            Forwarded,
            "10.0.0.1",
            &["for=\"[2001:db8::1]:80\", for=10.0.0.2"],
            Some("2001:db8::1"),
        );
        check(Forwarded, "10.0.0.1", &["for=\"[2001:db8::1]\""], Some("2001:db8::1"));
        check(
            Forwarded,
            "10.0.0.1",
            &["for=192.0.2.1;host=\"a,for=203.0.113.9\""],
            Some("192.0.2.1"),
        );
        check(
            Forwarded,
            "10.0.0.1",
            &["for=192.0.2.1;host=\"a\\\",for=203.0.113.9\""],
            Some("192.0.2.1"),
        );
        for garbage in [
            "for=_hidden",
            "for=unknown",
            "proto=https",
            "for=",
            "for",
            "for=192.0.2.1;for=192.0.2.2",
            "host=\"a;for=203.0.113.9;b\"",
            "for = 192.0.2.1",
            "for=192.0.2.1;x=\", for=203.0.113.7",
            "for=192.0.2.1;x=\", for=\"[2001:db8::bad]\"",
            "for=192.0.2.1;x=\", for=\"203.0.113.7:4711\";proto=https",
            "for=192.0.2.1;\"x=y",
            "for=192.0.2.1;x=",
            "for=\"192.0.2.1",
            "192.0.2.1",
            "for=2001:db8::1",
        ] {
            check(Forwarded, "10.0.0.1", &[&format!("for=192.0.2.1, {garbage}")], None);
        }
    }

    #[test]
    fn only_the_configured_header_is_read() {
        let address =
            ClientAddress::behind(ForwardingHeader::Forwarded, ["10.0.0.1"]).expect("an address");
        let mut request =
            Request::builder().header("x-forwarded-for", "192.0.2.1").body(()).expect("a request");
        assert_eq!(address.find(&RequestHead::of(&request)), None);
        request.extensions_mut().insert(PeerAddress(([10, 0, 0, 1], 1).into()));
        assert_eq!(address.find(&RequestHead::of(&request)), Some([10, 0, 0, 1].into()));
        let error = ClientAddress::behind(ForwardingHeader::Forwarded, ["10.0.0.1/8", "::1", "x"]);
        assert_eq!(error.expect_err("two bad patterns").problems().len(), 2);
    }
}
