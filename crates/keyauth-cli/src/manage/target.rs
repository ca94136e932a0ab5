//! Where keys are.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use zeroize::Zeroizing;

use crate::api::Place;
use crate::secret;
use crate::settings::{HEADING, StoreOptions};
use crate::told::Failure;

/// A server that is asked, where one is named.
#[derive(Args, Clone, Debug)]
pub(crate) struct AskedServer {
    /// Before the others, each of which is taken out of what was found.
    #[command(flatten)]
    typed: Typed,
    /// A server whose management API is asked, by HTTP or HTTPS; without one, the database is opened
    /// here
    #[arg(long, env = "KEYAUTH_SERVER", value_name = "URL", global = true, help_heading = HEADING)]
    server: Option<String>,
    /// A file with the key to ask the server with; otherwise KEYAUTH_KEY is, or it is asked for
    #[arg(long, env = "KEYAUTH_KEY_FILE", value_name = "FILE", global = true,
          help_heading = HEADING)]
    key_file: Option<PathBuf>,
    /// Send the key to another machine without TLS
    #[arg(long, global = true, help_heading = HEADING)]
    allow_http: bool,
}

/// What stands on the command line itself, and counts before what is set around it.
#[derive(Clone, Copy, Debug)]
struct Typed {
    server: bool,
    key_file: bool,
    database: bool,
}

impl FromArgMatches for Typed {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let database = typed("database") || typed("config");
        Ok(Self { server: typed("server"), key_file: typed("key_file"), database })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It has no arguments of its own.
impl Args for Typed {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

/// A store that is at hand, or a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) server: AskedServer,
    /// Whose things are meant [default: those of the key that asks; of a database, default]
    #[arg(long, env = "KEYAUTH_TENANT", value_name = "TENANT", global = true,
          help_heading = HEADING)]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

impl AskedServer {
    /// Where it is, unless a database is meant. Where both are alike, one of them would be changed and
    /// nobody could tell which.
    pub(crate) fn place(&self, store: &StoreOptions) -> Result<Option<Place>, Failure> {
        let Typed { server, key_file, database } = self.typed;
        let Some(url) = &self.server else {
            if key_file || self.allow_http {
                return Err(Failure::usage(
                    "server: is missing, and there is a key for it; name it with --server, or take \
                     away --key-file and --allow-http",
                ));
            }
            return Ok(None);
        };
        if store.names_database()? {
            if database && !server {
                return Ok(None);
            }
            if server == database {
                return Err(Failure::usage(
                    "server: is there beside database; take away --server or KEYAUTH_SERVER, or \
                     --database, KEYAUTH_DATABASE or what the file of --config says of it",
                ));
            }
        }
        Place::read(url, self.allow_http, || self.key()).map(Some)
    }

    fn key(&self) -> Result<Zeroizing<String>, Failure> {
        const WHAT: &str = "the key to ask the server with";
        if let Some(file) = &self.key_file {
            return secret::in_file("key-file", file);
        }
        match std::env::var("KEYAUTH_KEY") {
            Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned().into()),
            _ => secret::ask_person(WHAT)?.ok_or_else(|| {
                Failure::usage(format!("{WHAT}: name it with --key-file or KEYAUTH_KEY"))
            }),
        }
    }
}
