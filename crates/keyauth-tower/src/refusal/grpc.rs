//! Refusals as trailers-only gRPC responses.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response};

use super::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// When a client may retry (gRPC proposal A6): milliseconds, or a negative number for not at all.
const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Headers that are trailers at once, as "Trailers-Only" in gRPC's protocol over HTTP/2.
pub(super) fn render(refusal: &Refusal) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(refusal.grpc_status())));
    if let Some(after) = refusal.retry_after() {
        // Rounded up. Beyond the range of the field nobody waits.
        let millis = i32::try_from(after.as_nanos().div_ceil(1_000_000)).unwrap_or(-1);
        headers.insert(GRPC_RETRY_PUSHBACK, HeaderValue::from(millis));
    }
    // The code first, since gRPC has seventeen statuses for our two dozen reasons.
    let message = format!("{}: {}", refusal.code(), refusal.detail());
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    response
}
