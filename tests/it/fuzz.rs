//! A short run of every fuzz target, without a fuzzer: its corpus, and proptest.

use keyauth_testkit::replay;
use keyauth_tests::fuzz;
use proptest::prelude::*;

#[test]
fn corpora_replay() {
    replay("key", fuzz::key);
    replay("authorization", fuzz::authorization);
    replay("forwarded", fuzz::forwarded);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn keys(text in "(sk_live_|@|.@|@.)?[0-9A-Za-z_\\-]{0,60}", bytes: Vec<u8>) {
        fuzz::key(text.as_bytes());
        fuzz::key(&bytes);
        fuzz::key(&[b"sk_live_", bytes.as_slice()].concat());
    }

    #[test]
    fn authorizations(
        scheme in "([Bb][Ee]arer|Basic|Bear|bearerx)?",
        separator in "[ \t,\u{a0}:]{0,3}",
        rest in "(@|[ -~]{0,20}){1,2}",
        bytes: Vec<u8>,
    ) {
        fuzz::authorization(format!("{scheme}{separator}{rest}").as_bytes());
        fuzz::authorization(&bytes);
    }

    #[test]
    fn forwardings(
        elements in prop::collection::vec(
            "((for|FOR|by|host|proto)=)?(\"?\\[?(10\\.0\\.0\\.[0-9]|::1|2001:db8::1|_x|[ -~]{0,9})\\]?(:[0-9]{0,6})?\"?)?;?",
            0..6,
        ),
        bytes: Vec<u8>,
    ) {
        fuzz::forwarded(elements.join(",").as_bytes());
        fuzz::forwarded(&bytes);
    }
}
