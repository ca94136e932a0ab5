//! The example: from a key to a cookie, and no further with a forged one.

use std::path::Path;

use keyauth_tests::{Running, call};

#[tokio::test]
async fn a_signed_cookie_stands_for_its_key() {
    let program = env!("CARGO_BIN_EXE_custom-extractor");
    let mut server = Running::start(program, Path::new("."), &[("PORT", "0")]);
    let address = server.line_with("listening on").await;
    let address = address.rsplit('/').next().expect("an address").to_owned();
    let line = server.line_with("Bearer").await;
    let key = line.rsplit(' ').next().expect("a key").trim_end_matches('\'').to_owned();

    call(&address, "GET", "/whoami", &[]).await.assert_refused(401, "missing_key");
    let bearer = format!("Authorization: Bearer {key}");
    let login = call(&address, "POST", "/login", &[&bearer]).await;
    assert_eq!(login.status, 200);
    let cookie = login.header("set-cookie").expect("a cookie").to_owned();
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let session = cookie.split(';').next().expect("name and value");
    let header = format!("Cookie: theme=dark; {session}");
    call(&address, "GET", "/whoami", &[&header]).await.assert_reached_by("ada");

    // The key itself in a cookie that nobody signed, a changed signature, two cookies.
    let unsigned = format!("Cookie: session={key}");
    call(&address, "GET", "/whoami", &[&unsigned]).await.assert_refused(401, "invalid_key");
    let changed = header.replacen("session=", "session=x", 1);
    call(&address, "GET", "/whoami", &[&changed]).await.assert_refused(401, "invalid_key");
    let twice = format!("Cookie: {session}; {session}");
    call(&address, "GET", "/whoami", &[&twice]).await.assert_refused(400, "invalid_request");
}
