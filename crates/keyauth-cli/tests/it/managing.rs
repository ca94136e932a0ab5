//! Commands that manage keys: on a store, and by a server.

use std::fs;

use keyauth_testkit::PostgresDatabase;
use serde_json::Value;

use crate::cli::Cli;
use crate::server::{Server, run};

#[test]
fn on_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(folder.path(), &["migrate"]).status.success());
    let cli = Cli::new(folder.path(), &[("USER", "ada")]);
    everything(&cli);
    let actors = cli.json(&["audit", "--all"]);
    assert!(actors.len() > 20, "{actors:?}");
    assert!(actors.iter().all(|entry| entry["actor"] == "cli:ada"), "{actors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = PostgresDatabase::create().await;
    let cli = Cli::new(folder.path(), &[("KEYAUTH_DATABASE", database.url())]);
    let unmigrated = cli.run(&["keys", "list"]);
    assert_eq!(unmigrated.code, 4, "{unmigrated:?}");
    let lacking = cli.run(&["doctor"]);
    assert!(lacking.code == 1 && lacking.out.contains("run `keyauth migrate`"), "{lacking:?}");
    cli.done(&["migrate"]);
    let all = async move {
        everything(&cli);
        let found = cli.done(&["doctor"]);
        for told in ["notifications: they arrive", "clock of the database: ", "2 without one"] {
            assert!(found.contains(told), "{told}: {found}");
        }
    };
    tokio::task::spawn(all).await.expect("all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &[]).await;
    let url = format!("http://{}", server.address());
    let key = fs::read_to_string(folder.path().join("keyauth-admin.key")).expect("a key");
    let by_file = [("KEYAUTH_SERVER", url.as_str()), ("KEYAUTH_KEY_FILE", "keyauth-admin.key")];
    let cli = Cli::new(folder.path(), &by_file);
    let by_variable =
        Cli::new(folder.path(), &[("KEYAUTH_SERVER", &url), ("KEYAUTH_KEY", key.trim())]);
    tokio::task::spawn_blocking(move || {
        everything(&cli);
        let found = by_variable.done(&["doctor"]);
        assert!(found.contains("first administrator may do everything"), "{found}");
        // What servers alone know.
        by_variable.done(&["owners", "update", "default", "--rate-limit", "all:100/1h"]);
        let limits = by_variable.json(&["limits", "show", "--owner", "default"]);
        assert_eq!(limits[0]["counts"], "owner", "{limits:?}");
        let (id, text) = by_variable.create(&["limited", "--rate-limit", "calls:1/1h"]);
        assert_eq!(by_variable.run_with(&["verify"], &text).code, 0);
        let refused = by_variable.run_with(&["verify"], &text);
        assert_eq!(refused.code, 5, "{refused:?}");
        assert!(refused.out.contains("rate_limited"), "{refused:?}");
        let limits = by_variable.json(&["limits", "show", "--key", &id]);
        assert_eq!(limits[0]["used"], 1, "{limits:?}");
        by_variable.done(&["limits", "reset", "--key", &id]);
        assert_eq!(by_variable.run_with(&["verify"], &text).code, 0);
        let calls = by_variable.done(&["usage", "export", "--key", &id]);
        assert_eq!(calls.lines().count(), 2, "{calls}");
        by_variable.done(&["usage", "export", "--format", "csv", "--output", "calls.csv"]);
        let there = by_variable.run(&["usage", "export", "--output", "calls.csv"]);
        assert_eq!(there.code, 1, "{there:?}");
        let usage = &by_variable.json(&["usage", "show", "--key", &id, "--every", "hour"])[0];
        assert_eq!(usage["total"]["requests"], 2, "{usage}");
        // A key that may not, and one that is none.
        let weak =
            Cli::new(by_variable.folder(), &[("KEYAUTH_SERVER", &url), ("KEYAUTH_KEY", &text)]);
        let denied = weak.run(&["keys", "list"]);
        assert_eq!((denied.code, denied.out.as_str()), (1, ""), "{denied:?}");
        let wrong =
            Cli::new(by_variable.folder(), &[("KEYAUTH_SERVER", &url), ("KEYAUTH_KEY", "sk_no")]);
        let refused = wrong.run(&["keys", "list"]);
        assert!(refused.code == 1 && refused.err.contains("the key that asks"), "{refused:?}");
    })
    .await
    .expect("all of it");
    let table = fs::read_to_string(folder.path().join("calls.csv")).expect("a table");
    assert!(table.starts_with("tenant,owner,"), "{table}");
}

/// A life of keys, owners, groups and a tenant.
fn everything(cli: &Cli) {
    cli.done(&["owners", "create", "acme", "--max-keys", "5", "--budget", "spend:1/total"]);
    let again = cli.run(&["owners", "create", "acme"]);
    assert!(again.code == 1 && again.err.contains("keyauth owners update"), "{again:?}");
    assert_eq!(cli.json(&["owners", "show", "acme"])[0]["max_keys"], 5);
    cli.done(&["owners", "update", "acme", "--clear", "max-keys"]);
    assert_eq!(cli.json(&["owners", "show", "acme"])[0]["max_keys"], Value::Null);
    cli.done(&["groups", "create", "gold", "--kind", "exclusive", "--rate-limit", "all:9/1s"]);
    let closed = cli.run(&["keys", "create", "ci", "--owner", "acme", "--group", "gold"]);
    assert_eq!((closed.code, closed.out.as_str()), (2, ""), "{closed:?}");
    cli.done(&["groups", "add", "gold", "acme"]);
    assert_eq!(cli.json(&["groups", "members", "gold"]), ["acme"]);
    assert_eq!(cli.json(&["owners", "groups", "acme"])[0]["id"], "gold");

    let terms = [
        "ci",
        "--owner",
        "acme",
        "--group",
        "gold",
        "--scope",
        "reports:read",
        "--allow",
        "10.0.0.0/8",
        "--metadata",
        "team=core",
        "--metadata",
        "level=3",
        "--expires-in",
        "30d",
        "--endpoint",
        "GET /reports/*",
    ];
    let (id, text) = cli.create(&terms);
    let key = &cli.json(&["keys", "show", &id])[0];
    assert_eq!(key["metadata"], serde_json::json!({"team": "core", "level": 3}));
    assert_eq!(key["scopes"], serde_json::json!(["reports:read"]));
    assert!(cli.done(&["keys", "list", "--order", "name", "--starting-with", "c"]).contains(&id));
    assert!(!cli.done(&["keys", "list", "--order", "name", "--starting-with", "d"]).contains(&id));
    let from = ["verify", "--address", "10.1.2.3", "--method", "GET", "--path", "/reports/7"];
    let yes = cli.run_with(&[&from[..], &["--scope", "reports:read"]].concat(), &text);
    assert!(yes.code == 0 && yes.out.contains("allowed  true"), "{yes:?}");
    let no =
        cli.run_with(&[&from[..], &["--scope", "reports:write"]].concat(), &format!("{text}\n"));
    assert!(no.code == 5 && no.out.contains("scope_denied"), "{no:?}");
    let paid = cli.run_with(&[&from[..], &["--charge", "0.75"]].concat(), &text);
    assert_eq!(paid.code, 0, "{paid:?}");
    let poor = cli.run_with(&[&from[..], &["--charge", "0.75"]].concat(), &text);
    assert!(poor.code == 5 && poor.out.contains("budget_exhausted"), "{poor:?}");
    assert_eq!(cli.json(&["budgets", "show", "--owner", "acme"])[0]["used"], "0.75");
    cli.done(&["budgets", "reset", "spend", "--owner", "acme"]);
    assert_eq!(cli.json(&["budgets", "show", "--owner", "acme"])[0]["used"], "0");
    for explained in [cli.run(&["explain", &id]), cli.run_with(&["explain"], &text)] {
        assert!(explained.code == 0 && explained.out.contains("address_denied"), "{explained:?}");
        assert!(!explained.out.contains(&text));
    }

    cli.done(&["keys", "update", &id, "--clear", "addresses,endpoints,expires-at", "--name", "cj"]);
    let key = &cli.json(&["keys", "show", &id])[0];
    assert_eq!((&key["name"], &key["expires_at"]), (&"cj".into(), &Value::Null));
    assert_eq!(key["metadata"]["team"], "core", "what is not named stays");
    cli.done(&["keys", "disable", &id]);
    assert_eq!(cli.run_with(&["verify"], &text).code, 5);
    cli.done(&["keys", "enable", &id]);
    assert_eq!(cli.run_with(&["verify"], &text).code, 0);
    let rotated = cli.done(&["keys", "rotate", &id, "--grace", "1h"]);
    for secret in [text.as_str(), &rotated] {
        assert_eq!(cli.run_with(&["verify"], secret).code, 0);
    }
    let named = ["keys", "create", "once", "--idempotency-key", "job-7"];
    assert_eq!(cli.run(&named).code, 0);
    let repeated = cli.run(&named);
    assert!(repeated.code == 1 && repeated.err.contains("keys rotate"), "{repeated:?}");
    let revoked = &cli.json(&["keys", "revoke", &id])[0];
    assert_eq!(revoked["complete"], true, "{revoked}");
    let refused = cli.run_with(&["verify"], &rotated);
    assert!(refused.code == 5 && refused.out.contains("key_revoked"), "{refused:?}");
    cli.done(&["keys", "delete", &id]);
    assert_eq!(cli.run(&["keys", "show", &id]).code, 1);

    cli.done(&["groups", "create", "silver", "--kind", "subscription"]);
    let unsaid = cli.run(&["groups", "subscribe", "silver", "acme"]);
    assert_eq!(unsaid.code, 2, "an end is not forgotten: {unsaid:?}");
    cli.done(&["groups", "subscribe", "silver", "acme", "--endless"]);
    cli.done(&["groups", "subscribe", "silver", "acme", "--ends-at", "2030-01-01T00:00:00Z"]);
    assert_eq!(cli.json(&["groups", "subscriptions", "silver"])[0]["owner"], "acme");
    cli.done(&["groups", "unsubscribe", "silver", "acme"]);
    assert!(cli.json(&["groups", "subscriptions", "silver"]).is_empty());
    cli.done(&["groups", "remove", "gold", "acme"]);
    cli.done(&["groups", "update", "gold", "--status", "inactive", "--clear", "limits"]);
    cli.done(&["groups", "delete", "gold", "--detach"]);
    assert_eq!(cli.run(&["groups", "show", "gold"]).code, 1);
    cli.done(&["owners", "delete", "acme"]);

    cli.done(&["tenants", "create", "other", "--max-keys-per-owner", "1"]);
    cli.done(&["tenants", "update", "other", "--budget", "spend:5/month,mode=soft"]);
    assert!(cli.done(&["tenants", "list"]).contains("spend:5/month,mode=soft"));
    cli.create(&["theirs", "--tenant", "other"]);
    let full = cli.run(&["keys", "create", "more", "--tenant", "other"]);
    assert!(full.code == 1 && full.out.is_empty(), "{full:?}");
    assert_eq!(cli.json(&["keys", "list", "--tenant", "other"]).len(), 1);
    let entries = cli.json(&["audit", "--tenant", "other", "--all"]);
    assert!(entries.iter().any(|entry| entry["what"] == "key"), "{entries:?}");
}

/// Sent again they are not taken over again, what is refused is named by its line, and servers
/// recognise them.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_others_are_taken_over_once() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(run(folder.path(), &["migrate"]).status.success());
    let cli = Cli::new(folder.path(), &[("KEYAUTH_IMPORTED_KEYS", "yes")]);
    let line = |number: u32| {
        let hash = sha256(&format!("other_{number:08}"));
        format!("{{\"key\": {{\"name\": \"k{number}\"}}, \"hash\": \"{hash}\"}}\n")
    };
    let mut lines: Vec<_> = (1..=450).map(line).collect();
    fs::write(folder.path().join("some.jsonl"), lines[..300].concat()).expect("written");
    let some = cli.done(&["keys", "import", "some.jsonl"]);
    assert_eq!(some, "imported  300\nbefore    0\nrefused   0\n");
    lines.insert(2, "\n".into());
    lines.insert(350, "{\"key\": {\"name\": \"x\", \"nam\": 1}, \"hash\": \"secret\"}\n".into());
    lines.insert(351, "{\"key\"\n".into());
    let all = cli.run_with(&["keys", "import", "-"], &lines.concat());
    assert_eq!(all.code, 1, "{all:?}");
    for told in ["line 351: ", "line 352: no JSON at column 6", "2 lines were refused"] {
        assert!(all.err.contains(told), "{told}: {all:?}");
    }
    assert_eq!(all.out, "imported  150\nbefore    300\nrefused   2\n");
    let nothing = cli.run(&["keys", "import", "."]);
    assert!(nothing.code == 1 && nothing.err.contains("cannot be read"), "{nothing:?}");
    assert!(all.err.contains("key.nam") && !all.err.contains("secret"), "{all:?}");
    // By other settings it would be digested otherwise, for good; so there is no answer here.
    for command in [&["verify"][..], &["explain"]] {
        assert_eq!(cli.run_with(command, "other_00000450").code, 3);
    }
    let pipe = cli.run_with(&["keys", "import", "/dev/stdin"], &lines.concat());
    assert_eq!(pipe.out, "imported  0\nbefore    450\nrefused   2\n", "{pipe:?}");
    assert!(run(folder.path(), &["admin-key"]).status.success());
    let accept = ["--imported-keys"];
    let server = Server::start(folder.path(), &accept).await;
    let url = format!("http://{}", server.address());
    let asked = [("KEYAUTH_SERVER", url.as_str()), ("KEYAUTH_KEY_FILE", "keyauth-admin.key")];
    let by_server = Cli::new(folder.path(), &asked);
    assert_eq!(by_server.run_with(&["verify"], "other_00000450").code, 0);
    assert_eq!(by_server.run_with(&["verify"], "other_00000451").code, 5);

    // Longer than a page, and no longer than asked for.
    assert_eq!(cli.json(&["keys", "list", "--all"]).len(), 451);
    let some = cli.run(&["keys", "list", "--limit", "210", "--order", "newest", "--json"]);
    assert_eq!(some.out.lines().count(), 210);
    assert!(some.err.contains("there are more"), "{some:?}");
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};

    hex::encode(Sha256::digest(text))
}

/// A key that its holder chooses is read from standard input.
#[test]
fn a_chosen_key_is_no_argument() {
    let folder = tempfile::tempdir().expect("a folder");
    let pepper = format!("1:{}\n", "5a".repeat(32));
    fs::write(folder.path().join("peppers"), pepper).expect("written");
    let cli =
        Cli::new(folder.path(), &[("KEYAUTH_PEPPERS", "peppers"), ("KEYAUTH_CUSTOM_KEYS", "yes")]);
    cli.done(&["migrate"]);
    cli.done(&["tenants", "update", "default", "--chosen-keys", "allowed"]);
    let chosen = "correct-horse-battery-staple";
    let created = cli.run_with(&["keys", "create", "mine", "--custom"], chosen);
    assert_eq!((created.code, created.out.trim_end()), (0, chosen), "{created:?}");
    assert_eq!(cli.run_with(&["verify"], chosen).code, 0);
    let silent = cli.run_with(&["keys", "create", "mine", "--custom"], "");
    assert_eq!((silent.code, silent.out.as_str()), (2, ""), "{silent:?}");

    // Whoever has other settings is told.
    assert_eq!(cli.run(&["doctor"]).code, 0);
    let doctor = Cli::new(folder.path(), &[]).run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("1 under pepper 1"), "{doctor:?}");
}

/// A key is sent to the server that is named, and to no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_get_the_key() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = [
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
    ];
    let url = format!("http://{}", first.local_addr().expect("an address"));
    let other = second.local_addr().expect("an address");
    let answering = tokio::spawn(async move {
        let (mut stream, _) = first.accept().await.expect("a connection");
        let mut request = vec![0; 4_096];
        let read = stream.read(&mut request).await.expect("a request");
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{other}/\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.expect("answered");
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let cli = Cli::new(folder.path(), &[("KEYAUTH_SERVER", &url), ("KEYAUTH_KEY", "sk_one")]);
    let said = tokio::task::spawn_blocking(move || cli.run(&["keys", "list"])).await.expect("said");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(answering.await.expect("asked").contains("Bearer sk_one"));
    let asked = tokio::time::timeout(std::time::Duration::from_millis(200), second.accept()).await;
    assert!(asked.is_err(), "the other one was asked");
}

/// Whatever stands on the way does not get the key in the clear, and what cannot be written to takes
/// nothing with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_shell_can_do_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("set");
    let by_proxy = format!("http://{}", proxy.local_addr().expect("an address"));
    let server = Server::start(folder.path(), &[]).await;
    let url = format!("http://{}", server.address());
    let variables = [
        ("KEYAUTH_SERVER", url.as_str()),
        ("KEYAUTH_KEY_FILE", "keyauth-admin.key"),
        ("http_proxy", &by_proxy),
        ("ALL_PROXY", &by_proxy),
    ];
    let cli = Cli::new(folder.path(), &variables);
    let (id, _) = cli.create(&["ci"]);
    assert!(proxy.accept().is_err(), "the proxy was asked");

    // A full disk behind standard error.
    let script = format!("exec {} keys rotate {id} 2>/dev/full", env!("CARGO_BIN_EXE_keyauth"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder.path()).envs(variables);
    let said = shell.output().expect("it ends");
    let text = String::from_utf8(said.stdout).expect("text");
    assert!(said.status.success() && text.starts_with("sk_"), "{text}");
    assert_eq!(cli.run_with(&["verify"], &text).code, 0);
    // And behind standard output: who cannot have read it is told so.
    let script = format!("exec {} keys rotate {id} >/dev/full", env!("CARGO_BIN_EXE_keyauth"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder.path()).envs(variables);
    let said = shell.output().expect("it ends");
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{error}");
    assert!(error.contains("nobody has read") && error.contains("keys rotate"), "{error}");
}
