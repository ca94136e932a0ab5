//! What it says of itself, and of what it cannot do.

use std::fs;
use std::net::TcpListener;

use crate::server::{run, run_with};

/// Help texts are what these files say: `KEYAUTH_SNAPSHOTS=write` writes them.
#[test]
fn help_is_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("serve", &["serve", "--help"]),
        ("migrate", &["migrate", "--help"]),
        ("admin-key", &["admin-key", "--help"]),
    ] {
        let said = run(folder.path(), arguments);
        assert!(said.status.success(), "{said:?}");
        let said = String::from_utf8(said.stdout).expect("text");
        let file = format!("{}/tests/it/snapshots/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        if std::env::var("KEYAUTH_SNAPSHOTS").is_ok_and(|what| what == "write") {
            fs::write(&file, &said).expect("written");
        }
        assert_eq!(said, fs::read_to_string(&file).expect("a snapshot"), "{name}");
    }
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
        (
            &["serve", "--config", "typo.toml"],
            "typo.toml: databse is unknown; there are config, database,",
        ),
        (&["serve", "--peppers", "short.txt"], "short.txt: line 1 must be NUMBER:HEX"),
        (&["serve", "--peppers", "odd.txt"], "odd.txt: line 1 must be NUMBER:HEX"),
        (&["serve", "--prefix", "no!"], "prefix: "),
        (&["serve", "--custom-keys"], "custom-keys: "),
        (&["serve", "--proxy", "10.0.0.1/8"], "proxy: "),
        (&["serve", "--proxy", "10.0.0.0/8", "--forwarding-header", "via"], "forwarding-header: "),
        (&["serve", "--drain", "soon"], "drain: must be a time"),
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
    assert!(error.contains("the database cannot be used") && !error.contains("secret"), "{error}");
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
