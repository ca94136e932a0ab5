//! Who opened the connection.

use std::net::{IpAddr, SocketAddr};

use crate::RequestHead;

/// The address of the peer, put into a request's extensions by servers other than axum's
/// and tonic's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(
    /// The far end of the connection.
    pub SocketAddr,
);

pub(super) fn address(head: &RequestHead<'_>) -> Option<IpAddr> {
    if let Some(PeerAddress(address)) = head.extensions.get() {
        return Some(address.ip().to_canonical());
    }
    #[cfg(feature = "axum")]
    if let Some(axum::extract::ConnectInfo(address)) =
        head.extensions.get::<axum::extract::ConnectInfo<SocketAddr>>()
    {
        return Some(address.ip().to_canonical());
    }
    #[cfg(feature = "tonic")]
    if let Some(info) = head.extensions.get::<tonic::transport::server::TcpConnectInfo>() {
        return info.remote_addr().map(|address| address.ip().to_canonical());
    }
    None
}
