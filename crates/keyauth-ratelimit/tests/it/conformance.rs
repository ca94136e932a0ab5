//! What every limiter must do.

use keyauth_ratelimit::LocalLimiter;

async fn open() -> (LocalLimiter, ()) {
    (LocalLimiter::new(), ())
}

keyauth_testkit::limiter_conformance!(open);
