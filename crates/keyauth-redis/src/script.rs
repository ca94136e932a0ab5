//! Scripts that Redis runs as one step.

/// A script, and the SHA-1 that Redis calls it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) text: &'static str,
    /// In hexadecimal. A test compares it with what the server makes of the text.
    pub(crate) sha1: &'static str,
}
