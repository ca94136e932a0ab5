//! The invariants of `docs/architecture.md` that a test can hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace's folder").to_owned()
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    let command = command.manifest_path(root().join("Cargo.toml")).no_deps();
    command.exec().expect("cargo describes the workspace")
}

/// The crates that may see more of ours than the core, and what they may see.
fn allowed(package: &str) -> Option<&'static [&'static str]> {
    const CORE: &[&str] = &["keyauth-core"];
    match package {
        "keyauth-core" => Some(&[]),
        "keyauth-admin" => Some(&["keyauth-core", "keyauth-tower"]),
        // Leaves: nothing of ours stands on them.
        "keyauth-cli" | "keyauth-bench" | "keyauth-tests" => None,
        other if other.starts_with("keyauth-") => Some(CORE),
        _ => None,
    }
}

#[test]
fn every_crate_stands_on_the_core_alone() {
    let mut libraries = 0;
    for package in &metadata().packages {
        let normal =
            package.dependencies.iter().filter(|dep| dep.kind != DependencyKind::Development);
        let ours: Vec<_> = normal.filter(|dep| dep.name.starts_with("keyauth-")).collect();
        let Some(allowed) = allowed(&package.name) else { continue };
        libraries += 1;
        for dependency in ours {
            let name = dependency.name.as_str();
            assert!(allowed.contains(&name), "{} must not depend on {name}", package.name);
        }
    }
    assert!(libraries >= 4, "the crates are there to be looked at");
}

#[test]
fn the_core_knows_no_runtime_and_no_http() {
    // With all that its dependencies depend on, as cargo resolves it.
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "-p", "keyauth-core", "--edges", "normal", "--prefix", "none"]);
    let output = cargo.args(["--all-features", "--locked"]).current_dir(root()).output();
    let output = output.expect("cargo shows the tree");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("keyauth-core") && tree.contains("sha2"), "{tree}");
    for line in tree.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let foreign = ["tokio", "http", "axum", "tonic", "tower", "sqlx", "redis", "hyper"];
        assert!(!foreign.iter().any(|foreign| name.starts_with(foreign)), "core depends on {name}");
    }
}

#[test]
fn frameworks_stay_inside_their_features() {
    let metadata = metadata();
    let tower = metadata.packages.iter().find(|package| *package.name == "keyauth-tower");
    let tower = tower.expect("the layer");
    for dependency in tower.dependencies.iter().filter(|dep| dep.kind == DependencyKind::Normal) {
        let name = dependency.name.as_str();
        let framework = ["axum", "axum-core", "tonic", "metrics"].contains(&name);
        assert_eq!(dependency.optional, framework, "{name}");
        assert!(!["tower", "tower-http", "tokio"].contains(&name), "{name}");
        let ours = name.starts_with("keyauth-");
        assert!(ours || !dependency.uses_default_features, "{name} brings its default features");
    }
    let default = tower.features.get("default").expect("a list of defaults");
    assert!(default.is_empty(), "nothing is on unless asked for");
}

#[test]
fn the_top_level_holds_what_it_should() {
    let entries = std::fs::read_dir(root()).expect("the workspace's folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let visible: BTreeSet<_> = names
        .map(|name| name.expect("a UTF-8 name"))
        // Hidden, built, or left by a quickstart.
        .filter(|name| !name.starts_with('.') && name != "target" && !name.contains(".db"))
        .collect();
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "crates",
        "docs",
        "examples",
        "justfile",
        "tests",
    ];
    assert_eq!(visible, expected.map(str::to_owned).into());
}

#[test]
fn the_clock_is_read_in_one_place() {
    let mut readers = Vec::new();
    for file in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let reads = ["SystemTime::now()", "Instant::now()", "clock_gettime("];
        if reads.iter().any(|read| text.contains(read)) {
            readers.push(file);
        }
    }
    assert_eq!(readers, [root().join("crates/keyauth-core/src/port/clock.rs")]);
}

#[test]
fn only_two_crates_know_http() {
    for package in metadata().packages {
        let http = package.dependencies.iter().any(|dependency| {
            dependency.kind == DependencyKind::Normal && dependency.name == "http"
        });
        let may = ["keyauth-tower", "keyauth-admin"].contains(&package.name.as_str())
            || allowed(&package.name).is_none();
        assert!(!http || may, "{} depends on http", package.name);
    }
}

/// Every Rust file of the crates' own code.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
