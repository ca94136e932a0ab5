//! Scripts that Redis runs as one step.

/// A script, and the SHA-1 that Redis calls it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) text: &'static str,
    /// In hexadecimal. Where it is wrong the text is sent with each call, which a test notices.
    pub(crate) sha1: &'static str,
}

#[cfg(test)]
mod tests {
    use keyauth_testkit::RedisServers;

    use crate::cache::PUT;
    use crate::limits::{BEAT, DECIDE, LEASE, PLACES, RESET};

    #[tokio::test]
    async fn redis_calls_scripts_by_the_names_written_beside_them() {
        let servers = RedisServers::start().await;
        for script in [PUT, DECIDE, LEASE, BEAT, PLACES, RESET] {
            assert_eq!(servers.ask(0, &["SCRIPT", "LOAD", script.text]), script.sha1);
        }
    }
}
