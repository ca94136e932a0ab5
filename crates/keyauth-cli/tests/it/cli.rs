//! The command line, as a person or a script has it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::server::run_with;

/// Commands, run in a folder with variables of the environment.
pub(crate) struct Cli {
    folder: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// What one has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cli {
    pub(crate) fn new(folder: &Path, variables: &[(&'static str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self { folder: folder.to_owned(), variables: variables.collect() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn run(&self, command: &[&str]) -> Said {
        self.run_with(command, "")
    }

    /// With something on its standard input.
    pub(crate) fn run_with(&self, command: &[&str], input: &str) -> Said {
        let variables: Vec<_> =
            self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = run_with(&self.folder, command, &variables, input);
        Said {
            code: said.status.code().expect("it ends by itself"),
            out: String::from_utf8(said.stdout).expect("text"),
            err: String::from_utf8(said.stderr).expect("text"),
        }
    }

    /// What a command that is done prints.
    pub(crate) fn done(&self, command: &[&str]) -> String {
        let said = self.run(command);
        assert_eq!(said.code, 0, "{command:?}: {said:?}");
        said.out
    }

    /// The same in JSON: what is on its lines.
    pub(crate) fn json(&self, command: &[&str]) -> Vec<Value> {
        let out = self.done(&[command, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// A new key's id and text. The text is all that is on standard output.
    pub(crate) fn create(&self, command: &[&str]) -> (String, String) {
        let said = self.run(&[&["keys", "create"], command].concat());
        assert_eq!(said.code, 0, "{command:?}: {said:?}");
        let text = said.out.trim_end().to_owned();
        assert!(text.starts_with("sk_") && !text.contains(char::is_whitespace), "{said:?}");
        assert!(!said.err.contains(&text));
        let id = said.err.split_whitespace().nth(1).expect("an id");
        (id.to_owned(), text)
    }
}
