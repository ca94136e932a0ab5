//! Scripts that Redis runs as one step.

/// A script, and the SHA-1 that Redis calls it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) text: &'static str,
    /// In hexadecimal. Where it is wrong the text is sent with each call, which a test notices.
    pub(crate) sha1: &'static str,
}
