//! What it says of itself, and of what it cannot do.

use std::fs;
use std::net::TcpListener;

use crate::server::{run, run_with};

/// Help texts are what these files say: `KEYAUTH_SNAPSHOTS=write` writes them.
#[test]
fn help_is_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["migrate", "--help"],
        &["admin-key", "--help"],
        &["doctor", "--help"],
        &["keys", "--help"],
        &["keys", "create", "-h"],
        &["keys", "list", "-h"],
        &["keys", "update", "-h"],
        &["keys", "rotate", "-h"],
        &["keys", "revoke", "-h"],
        &["keys", "import", "--help"],
        &["owners", "-h"],
        &["owners", "create", "-h"],
        &["groups", "-h"],
        &["groups", "create", "-h"],
        &["tenants", "-h"],
        &["tenants", "update", "-h"],
        &["limits", "-h"],
        &["budgets", "-h"],
        &["usage", "show", "-h"],
        &["usage", "export", "-h"],
        &["audit", "-h"],
        &["verify", "--help"],
        &["explain", "-h"],
    ] {
        let said = run(folder.path(), arguments);
        assert!(said.status.success(), "{said:?}");
        let said = String::from_utf8(said.stdout).expect("text");
        let words = arguments.iter().filter(|word| !word.starts_with('-'));
        let name = words.copied().collect::<Vec<_>>().join("-");
        snapshot(if name.is_empty() { "help" } else { &name }, &said);
    }
}

fn snapshot(name: &str, said: &str) {
    let file = format!("{}/tests/it/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("KEYAUTH_SNAPSHOTS").is_ok_and(|what| what == "write") {
        fs::write(&file, said).expect("written");
    }
    assert_eq!(said, fs::read_to_string(&file).expect("a snapshot"), "{name}");
}

/// What is said when something cannot be, and how it ends.
#[test]
fn errors_are_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = run(folder.path(), &["keys", "list"]);
    assert_eq!(nowhere.status.code(), Some(3));
    assert!(!folder.path().join("keyauth.db").exists(), "nothing is made by looking");
    assert!(run(folder.path(), &["migrate"]).status.success());
    fs::write(folder.path().join("key"), "sk_none\n").expect("written");
    let store = "database = \"sqlite://keyauth.db\"\n";
    fs::write(folder.path().join("store.toml"), store).expect("written");
    let mut all = String::new();
    for arguments in [
        &["keys"][..],
        &["keys", "create"],
        &["keys", "create", "ci", "--scop", "a"],
        &["keys", "create", "ci", "--scope", "a b"],
        &["keys", "create", "ci", "--rate-limit", "calls"],
        &["keys", "create", "ci", "--rate-limit", "calls:5/1y"],
        &["keys", "create", "ci", "--budget", "spend:much/day"],
        &["keys", "create", "ci", "--metadata", "team"],
        &["keys", "create", "ci", "--expires-in", "soon"],
        &["keys", "create", "ci", "--expires-in", "1d", "--expires-at", "2030-01-01T00:00:00Z"],
        &["keys", "create", "ci", "--allow", "10.0.0.1/8", "--endpoint", "reports"],
        &["keys", "create", "ci", "--custom"],
        &["keys", "create", "ci", "--idempotency-key", "a b"],
        &["keys", "list", "--order", "age"],
        &["keys", "list", "--starting-with", "a"],
        &["keys", "list", "--order", "expiry", "--starting-with", "a"],
        &["keys", "list", "--owner", "acme", "--order", "name"],
        &["keys", "list", "--limit", "0"],
        &["keys", "list", "--tenant", "none"],
        &["keys", "show", "seven"],
        &["keys", "show", "01890a5d-ac96-774b-bcce-b302099a8057"],
        &["keys", "update", "01890a5d-ac96-774b-bcce-b302099a8057"],
        &["keys", "update", "01890a5d-ac96-774b-bcce-b302099a8057", "--clear", "name"],
        &["keys", "update", "seven", "--scope", "a", "--clear", "scopes"],
        &["keys", "revoke", "01890a5d-ac96-774b-bcce-b302099a8057", "--wait", "0"],
        &["keys", "import", "none.jsonl"],
        &["owners", "create", "a b"],
        &["owners", "create", "acme", "--rate-multiplier", "-1"],
        &["owners", "show", "nobody"],
        &["owners", "delete", "nobody"],
        &["groups", "add", "none", "nobody"],
        &["groups", "subscribe", "none", "nobody"],
        &["owners", "groups", ".."],
        &["audit", "--everywhere", "--tenant", "default"],
        &["keys", "list", "--key-file", "key"],
        &["keys", "list", "--server", "http://127.0.0.1:9", "--config", "store.toml"],
        &["tenants", "create", "t", "--chosen-keys", "maybe"],
        &["limits", "show"],
        &["budgets", "reset", "spend"],
        &["usage", "show", "--from", "yesterday"],
        &["usage", "show", "--key", "seven", "--owner", "acme"],
        &["usage", "export", "--format", "xml"],
        &["usage", "export", "--output", "no/such/folder.jsonl"],
        &["audit", "--limit", "many"],
        &["verify"],
        &["verify", "--method", "GET"],
        &["verify", "--address", "here"],
        &["explain", "seven"],
        &["doctor", "--database", "sqlite://none.db"],
        &["keys", "list", "--database", "sqlite://none.db"],
        &["keys", "list", "--database", "none.db"],
        &["keys", "list", "--direct-database", "postgres://x/y"],
        &["keys", "list", "--server", "http://127.0.0.1:9", "--database", "sqlite://keyauth.db"],
        &["keys", "list", "--server", "keys.example.com"],
        &["keys", "list", "--server", "https://ada:hunter2@keys.example.com"],
        &["keys", "list", "--server", "https://keys.example.com/v1/keys"],
        &["keys", "list", "--server", "http://192.0.2.1"],
        &["keys", "list", "--server", "http://127.0.0.1:9"],
        &["keys", "list", "--server", "http://127.0.0.1:9", "--key-file", "none"],
        &["keys", "list", "--server", "http://127.0.0.1:9", "--key-file", "key"],
    ] {
        let said = run(folder.path(), arguments);
        assert!(said.stdout.is_empty() || arguments.contains(&"doctor"), "{arguments:?}: {said:?}");
        let code = said.status.code().expect("it ends by itself");
        let error = String::from_utf8(said.stderr).expect("text");
        assert!(!error.contains("hunter2"), "{error}");
        all.push_str(&format!("$ keyauth {}\n{error}[{code}]\n\n", arguments.join(" ")));
    }
    snapshot("errors", &all);
    assert!(!folder.path().join("none.db").exists());
    // What is typed counts before what is set.
    let set = [("KEYAUTH_SERVER", "http://127.0.0.1:9"), ("KEYAUTH_KEY", "sk_none")];
    let typed = ["keys", "list", "--database", "sqlite://keyauth.db"];
    assert_eq!(run_with(folder.path(), &typed, &set, "").status.code(), Some(0));
    assert_eq!(run_with(folder.path(), &["keys", "list"], &set, "").status.code(), Some(3));
    let set = [("KEYAUTH_DATABASE", "sqlite://keyauth.db"), ("KEYAUTH_KEY", "sk_none")];
    let typed = ["keys", "list", "--server", "http://127.0.0.1:9"];
    assert_eq!(run_with(folder.path(), &typed, &set, "").status.code(), Some(3));
    let both = [set[0], ("KEYAUTH_SERVER", "http://127.0.0.1:9")];
    assert_eq!(run_with(folder.path(), &["keys", "list"], &both, "").status.code(), Some(2));
}

#[test]
fn what_cannot_be_meant_is_said_with_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("typo.toml"), "databse = \"sqlite://a.db\"\n").expect("written");
    let broken = "listen = \"127.0.0.1:1\"\ndatabase = \"postgres://ada:secret@x\n";
    fs::write(folder.path().join("broken.toml"), broken).expect("written");
    fs::write(folder.path().join("short.txt"), "1:00ff\n").expect("written");
    fs::write(folder.path().join("odd.txt"), "1:not-hex-but-secret\n").expect("written");
    // What is wrong of settings is said before anything is done by them: also where the port is not
    // to be had, which this one is not.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").to_string();
    for (arguments, expected) in [
        (&["serve", "--listen", "here"][..], "invalid value 'here' for '--listen <ADDRESS>'"),
        (&["serve", "--lisen", "127.0.0.1:1"], "a similar argument exists: '--listen'"),
        (&["sreve"], "a similar subcommand exists: 'serve'"),
        (
            &["serve", "--database", "mysql://ada:secret@host/x"],
            "must be sqlite://FILE or postgres",
        ),
        (&["serve", "--config", "none.toml"], "none.toml: No such file"),
        (&["serve", "--config", "typo.toml"], "typo.toml: databse is unknown; there are database,"),
        (&["serve", "--peppers", "short.txt"], "short.txt: line 1 must be NUMBER:HEX"),
        (&["serve", "--peppers", "odd.txt"], "odd.txt: line 1 must be NUMBER:HEX"),
        (&["serve", "--prefix", "no!"], "prefix: "),
        (&["serve", "--custom-keys"], "custom-keys: "),
        (&["serve", "--proxy", "10.0.0.1/8"], "proxy: "),
        (&["serve", "--proxy", "10.0.0.0/8", "--forwarding-header", "via"], "forwarding-header: "),
        (&["serve", "--drain", "soon"], "drain: must be a time"),
        (&["serve", "--keep-calls", "1d"], "keep-calls: must be 32d at least"),
        (&["serve", "--log", "keyauth=debg"], "log: "),
        (&["serve", "--custom-keys=perhaps"], "invalid value 'perhaps'"),
        (&["serve", "--config", "broken.toml"], "broken.toml: line 2: "),
        (&["serve", "--redis", "nonsense"], "redis: "),
    ] {
        let said = run_with(folder.path(), arguments, &[("KEYAUTH_LISTEN", &port)], "");
        let error = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains("secret"), "{arguments:?}: {error}");
    }
    // Nothing was made on the way to a no.
    assert!(!folder.path().join("keyauth-admin.key").exists());
}

#[test]
fn what_is_away_is_said_with_exit_code_3() {
    let folder = tempfile::tempdir().expect("a folder");
    let away =
        ["serve", "--listen", "127.0.0.1:0", "--database", "postgres://ada:secret@127.0.0.1:9/x"];
    let said = run(folder.path(), &away);
    let error = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(3), "{error}");
    assert!(
        error.contains("the PostgreSQL server cannot be used") && !error.contains("secret"),
        "{error}"
    );
    let nowhere = ["migrate", "--database", "sqlite://none/of/these/keys.db"];
    assert_eq!(run(folder.path(), &nowhere).status.code(), Some(3));
}

#[test]
fn completions_are_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let said = run(folder.path(), &["completions", shell]);
        assert!(said.status.success());
        assert!(String::from_utf8_lossy(&said.stdout).contains("keyauth"));
    }
}
