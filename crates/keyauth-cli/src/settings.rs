//! Settings, and where they come from.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use deadpool_redis::{Config, Pool, Runtime};
use keyauth_core::{InvalidInput, KeyPrefix, Keyring, Pepper};
use keyauth_tower::{ClientAddress, ForwardingHeader};
use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use zeroize::Zeroizing;

use crate::database::Place;
use crate::told::Failure;

/// What can be set of the server: by a flag, by a variable of the environment, or in a file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Options {
    #[command(flatten)]
    store: StoreOptions,
    #[command(flatten)]
    server: ServerOptions,
}

/// Where it stands in help texts.
pub(crate) const HEADING: &str = "Keys and where they are";

/// What concerns keys, wherever they are worked with.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct StoreOptions {
    /// A file with settings in TOML, by the names of these options
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where keys are: sqlite://FILE or postgres://USER@HOST/NAME [default: sqlite://keyauth.db]
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// The same PostgreSQL around a pooler of connections, for migrations and the feed of changes
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_DIRECT_DATABASE", value_name = "URL", hide_env_values = true)]
    direct_database: Option<String>,
    /// A file with peppers, a line each: NUMBER:HEX, at least 32 bytes; the newest first
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_PEPPERS", value_name = "FILE")]
    peppers: Option<PathBuf>,
    /// Go on accepting keys that were made before there was a pepper
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_ACCEPT_UNPEPPERED", value_name = "YES", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = yes_or_no())]
    accept_unpeppered: Option<bool>,
    /// A prefix of keys, like sk_live; the first is that of new ones, and keys with one that is not
    /// named here are refused [default: sk]
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_PREFIX", value_name = "PREFIX", value_delimiter = ',')]
    prefix: Vec<String>,
    /// Accept keys that their holders choose, where a tenant allows it; it needs a pepper
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_CUSTOM_KEYS", value_name = "YES", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = yes_or_no())]
    custom_keys: Option<bool>,
    /// Accept keys of other systems, imported by their hashes; whoever can write to the database
    /// can make keys then
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_IMPORTED_KEYS", value_name = "YES", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = yes_or_no())]
    imported_keys: Option<bool>,
    /// What to log: a level, or targets with levels [default: info]
    #[arg(long, global = true, help_heading = HEADING, env = "KEYAUTH_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// What concerns the server alone.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct ServerOptions {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "KEYAUTH_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A Redis that instances share: what is cached, and limits
    #[arg(long, env = "KEYAUTH_REDIS", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
    /// A proxy or a network of them, whose forwarding header is believed
    #[arg(long, env = "KEYAUTH_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    proxy: Vec<String>,
    /// In which proxies name the client: x-forwarded-for or forwarded [default: x-forwarded-for]
    #[arg(long, env = "KEYAUTH_FORWARDING_HEADER", value_name = "HEADER")]
    forwarding_header: Option<String>,
    /// A folder for usage that waits to be written [default: keyauth-spool]
    #[arg(long, env = "KEYAUTH_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// How long to keep single calls in the record of usage, at least 32d; sums of days are kept in
    /// any case [default: for ever]
    #[arg(long, env = "KEYAUTH_KEEP_CALLS", value_name = "TIME")]
    keep_calls: Option<String>,
    /// How long requests under way may take when the server stops [default: 10s]
    #[arg(long, env = "KEYAUTH_DRAIN", value_name = "TIME")]
    drain: Option<String>,
}

/// `true`, `yes`, `on` and `1`, and their contraries.
fn yes_or_no() -> BoolishValueParser {
    BoolishValueParser::new()
}

/// The same, understood, and with defaults.
pub(crate) struct Settings {
    pub(crate) store: StoreSettings,
    pub(crate) redis: Option<Pool>,
    pub(crate) listen: SocketAddr,
    pub(crate) address: ClientAddress,
    pub(crate) spool: PathBuf,
    pub(crate) keep_calls: Option<Duration>,
    pub(crate) drain: Duration,
}

/// What concerns keys.
#[derive(Debug)]
pub(crate) struct StoreSettings {
    pub(crate) database: Place,
    pub(crate) keyring: Keyring,
    log: EnvFilter,
}

/// How long single calls are needed.
const SHORTEST_RECORD: Duration = Duration::from_secs(32 * 86_400);

fn length(name: &str, text: &str) -> Result<Duration, Failure> {
    crate::length::read(text).map_err(|wrong| Failure::usage(format!("{name}: {wrong}")))
}

fn either(one: Vec<String>, other: Vec<String>) -> Vec<String> {
    if one.is_empty() { other } else { one }
}

impl StoreOptions {
    /// What is set here, and else there.
    fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            database: self.database.or(other.database),
            direct_database: self.direct_database.or(other.direct_database),
            peppers: self.peppers.or(other.peppers),
            accept_unpeppered: self.accept_unpeppered.or(other.accept_unpeppered),
            prefix: either(self.prefix, other.prefix),
            custom_keys: self.custom_keys.or(other.custom_keys),
            imported_keys: self.imported_keys.or(other.imported_keys),
            log: self.log.or(other.log),
        }
    }

    /// Whether a database is named.
    pub(crate) fn names_database(&self) -> Result<bool, Failure> {
        let in_file = self.config.as_deref().map(in_file).transpose()?;
        Ok(self.database.is_some() || in_file.is_some_and(|(store, _)| store.database.is_some()))
    }

    fn read(self) -> Result<StoreSettings, Failure> {
        let database = self.database.as_deref().unwrap_or("sqlite://keyauth.db");
        let database = Place::read(database, self.direct_database.as_deref())?;
        let mut keyring = Keyring::new();
        for prefix in &self.prefix {
            let prefix = KeyPrefix::new(prefix);
            let prefix = prefix.map_err(|error| Failure::usage(format!("prefix: {error}")))?;
            keyring = keyring.with_prefix(prefix);
        }
        if let Some(file) = &self.peppers {
            keyring = with_peppers(keyring, file)?;
        }
        if self.accept_unpeppered == Some(true) {
            keyring = keyring.insecure_accept_unpeppered();
        }
        if self.custom_keys == Some(true) {
            keyring = keyring.with_custom_keys().map_err(|error| named("custom-keys", &error))?;
        }
        if self.imported_keys == Some(true) {
            keyring = keyring.with_imported_keys();
        }
        let log = self.log.as_deref().unwrap_or("info");
        // A word by itself would be taken for the only target to log.
        let is_word = log.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word && log.parse::<LevelFilter>().is_err() {
            let message = "log: must be off, error, warn, info, debug or trace, or targets with them, \
                           like info,sqlx=warn";
            return Err(Failure::usage(message));
        }
        let log = EnvFilter::builder().parse(log);
        Ok(StoreSettings {
            database,
            keyring,
            log: log.map_err(|error| Failure::usage(format!("log: {error}")))?,
        })
    }
}

impl ServerOptions {
    /// What is set here, and else there.
    fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            redis: self.redis.or(other.redis),
            proxy: either(self.proxy, other.proxy),
            forwarding_header: self.forwarding_header.or(other.forwarding_header),
            spool: self.spool.or(other.spool),
            keep_calls: self.keep_calls.or(other.keep_calls),
            drain: self.drain.or(other.drain),
        }
    }

    fn read(self, store: StoreSettings) -> Result<Settings, Failure> {
        let header = match self.forwarding_header.as_deref() {
            None | Some("x-forwarded-for") => ForwardingHeader::XForwardedFor,
            Some("forwarded") => ForwardingHeader::Forwarded,
            Some(_) => {
                let message = "forwarding-header: must be x-forwarded-for or forwarded";
                return Err(Failure::usage(message));
            }
        };
        let address = match self.proxy.as_slice() {
            [] => ClientAddress::peer(),
            proxies => {
                ClientAddress::behind(header, proxies).map_err(|error| named("proxy", &error))?
            }
        };
        let drain = self.drain.as_deref().map(|text| length("drain", text)).transpose()?;
        let keep_calls = self.keep_calls.as_deref().map(|text| length("keep-calls", text));
        let keep_calls = keep_calls.transpose()?;
        if keep_calls.is_some_and(|time| time < SHORTEST_RECORD) {
            return Err(Failure::usage("keep-calls: must be 32d at least, for limits of a month"));
        }
        let redis = self.redis.map(|url| {
            let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1));
            pool.map_err(|_| {
                Failure::usage("redis: must be redis://HOST:PORT or rediss://HOST:PORT")
            })
        });
        Ok(Settings {
            store,
            redis: redis.transpose()?,
            listen: self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            address,
            spool: self.spool.unwrap_or_else(|| "keyauth-spool".into()),
            keep_calls,
            drain: drain.unwrap_or(Duration::from_secs(10)),
        })
    }
}

impl StoreOptions {
    /// With what the file says.
    pub(crate) fn understood(self) -> Result<StoreSettings, Failure> {
        let Some(file) = self.config.clone() else { return self.read() };
        let (store, _) = in_file(&file)?;
        self.or(store).read()
    }
}

impl Options {
    pub(crate) const fn store(&self) -> &StoreOptions {
        &self.store
    }

    /// With what the file says.
    pub(crate) fn understood(self) -> Result<Settings, Failure> {
        let Self { store, server } = self;
        let (more, more_server) = match &store.config {
            Some(file) => in_file(file)?,
            None => Default::default(),
        };
        server.or(more_server).read(store.or(more).read()?)
    }
}

/// Settings in a file, all of which must be known. What is wrong is told without the text, which may
/// have a password in it.
fn in_file(file: &Path) -> Result<(StoreOptions, ServerOptions), Failure> {
    let wrong = |problem: &dyn Display| Failure::usage(format!("{}: {problem}", file.display()));
    in_text(&std::fs::read_to_string(file).map_err(|error| wrong(&error))?, &wrong)
}

fn in_text(
    text: &str,
    wrong: &dyn Fn(&dyn Display) -> Failure,
) -> Result<(StoreOptions, ServerOptions), Failure> {
    let line = |error: &toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        before.map_or(1, |before| before.lines().count().max(1))
    };
    let unread =
        |error: toml::de::Error| wrong(&format!("line {}: {}", line(&error), error.message()));
    let names: toml::Table = toml::from_str(text).map_err(unread)?;
    let known = Options::augment_args(clap::Command::new("keyauth"));
    let known = known.get_arguments().filter_map(clap::Arg::get_long);
    let known: Vec<_> = known.filter(|name| *name != "config").collect();
    if let Some(name) = names.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(wrong(&format!("{name} is unknown; there are {}", known.join(", "))));
    }
    Ok((toml::from_str(text).map_err(unread)?, toml::from_str(text).map_err(unread)?))
}

fn named(name: &str, error: &InvalidInput) -> Failure {
    Failure::usage(format!("{name}: {error}"))
}

impl StoreSettings {
    /// Logs on standard error, as it was set.
    pub(crate) fn log(&mut self) {
        let filter = std::mem::take(&mut self.log);
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    }
}

/// What a file of settings says, and one of peppers, for nothing but reading it.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_texts(settings: &str, peppers: &str) -> [Result<(), Failure>; 2] {
    let wrong = |problem: &dyn Display| Failure::usage(format!("settings: {problem}"));
    let settings = in_text(settings, &wrong).and_then(|(store, server)| {
        // Files that it names are not there.
        let store = StoreOptions { peppers: None, ..store };
        server.read(store.read()?).map(drop)
    });
    let named = |problem: &str| Failure::usage(format!("peppers: {problem}"));
    [settings, peppers_in(Keyring::new(), peppers, &named).map(drop)]
}

/// Reads peppers, which nobody is told of: neither a line nor a part of one.
fn with_peppers(keyring: Keyring, file: &Path) -> Result<Keyring, Failure> {
    let named = |problem: &str| Failure::usage(format!("peppers: {}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| named(&error.to_string()))?;
    peppers_in(keyring, &text, &named)
}

fn peppers_in(
    keyring: Keyring,
    text: &str,
    named: &dyn Fn(&str) -> Failure,
) -> Result<Keyring, Failure> {
    let lines = text.lines().map(str::trim).enumerate();
    let mut peppers = Vec::new();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = || named(&format!("line {} must be NUMBER:HEX, of 32 bytes at least", at + 1));
        let (number, secret) = line.split_once(':').ok_or_else(wrong)?;
        let number = number.trim().parse().map_err(|_| wrong())?;
        let secret = Zeroizing::new(hex::decode(secret.trim()).map_err(|_| wrong())?);
        peppers.push(Pepper::new(number, &*secret).map_err(|_| wrong())?);
    }
    if peppers.is_empty() {
        return Err(named("has no pepper"));
    }
    // The last one that is added is that of new keys.
    let mut peppers = peppers.into_iter().rev();
    let added = peppers.try_fold(keyring, Keyring::with_pepper);
    added.map_err(|error| named(&error.to_string()))
}
