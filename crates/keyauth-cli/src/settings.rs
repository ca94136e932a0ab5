//! Settings, and where they come from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use keyauth_core::{InvalidInput, KeyPrefix, Keyring, Pepper};
use keyauth_tower::{ClientAddress, ForwardingHeader};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::told::Failure;

/// What can be set: by a flag, by a variable of the environment, or in a file.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// A file with settings in TOML, by the names of these options
    #[arg(long, env = "KEYAUTH_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where keys are: sqlite://FILE or postgres://USER@HOST/NAME [default: sqlite://keyauth.db]
    #[arg(long, env = "KEYAUTH_DATABASE", value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// A Redis that instances share: what is cached, limits, and hints of changes
    #[arg(long, env = "KEYAUTH_REDIS", value_name = "URL", hide_env_values = true)]
    redis: Option<String>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, env = "KEYAUTH_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// A file with peppers, a line each: NUMBER:HEX, at least 32 bytes; the newest first
    #[arg(long, env = "KEYAUTH_PEPPERS", value_name = "FILE")]
    peppers: Option<PathBuf>,
    /// A prefix of keys, like sk_live; the first is that of new ones [default: sk]
    #[arg(long = "prefix", env = "KEYAUTH_PREFIX", value_name = "PREFIX", value_delimiter = ',')]
    #[serde(default, rename = "prefix")]
    prefixes: Vec<String>,
    /// Accept keys that their holders choose, where a tenant allows it; it needs a pepper
    #[arg(long, env = "KEYAUTH_CUSTOM_KEYS")]
    #[serde(default)]
    custom_keys: bool,
    /// Accept keys of other systems, imported by their hashes
    #[arg(long, env = "KEYAUTH_IMPORTED_KEYS")]
    #[serde(default)]
    imported_keys: bool,
    /// A proxy or a network of them, whose forwarding header is believed
    #[arg(long = "proxy", env = "KEYAUTH_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    #[serde(default, rename = "proxy")]
    proxies: Vec<String>,
    /// In which proxies name the client: x-forwarded-for or forwarded [default: x-forwarded-for]
    #[arg(long, env = "KEYAUTH_FORWARDING_HEADER", value_name = "HEADER")]
    forwarding_header: Option<String>,
    /// A folder for usage that waits to be written [default: keyauth-spool]
    #[arg(long, env = "KEYAUTH_SPOOL", value_name = "FOLDER")]
    spool: Option<PathBuf>,
    /// How long requests under way may take when the server stops [default: 10s]
    #[arg(long, env = "KEYAUTH_DRAIN", value_name = "TIME")]
    drain: Option<String>,
    /// What to log: a level, or targets with levels [default: info]
    #[arg(long, env = "KEYAUTH_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// The same, understood, and with defaults.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) database: String,
    pub(crate) redis: Option<String>,
    pub(crate) listen: SocketAddr,
    pub(crate) keyring: Keyring,
    pub(crate) address: ClientAddress,
    pub(crate) spool: PathBuf,
    pub(crate) drain: Duration,
    log: String,
}

impl Options {
    /// What is set here, and else there.
    fn or(self, other: Self) -> Self {
        let either = |one: Vec<String>, two| if one.is_empty() { two } else { one };
        Self {
            config: None,
            database: self.database.or(other.database),
            redis: self.redis.or(other.redis),
            listen: self.listen.or(other.listen),
            peppers: self.peppers.or(other.peppers),
            prefixes: either(self.prefixes, other.prefixes),
            custom_keys: self.custom_keys || other.custom_keys,
            imported_keys: self.imported_keys || other.imported_keys,
            proxies: either(self.proxies, other.proxies),
            forwarding_header: self.forwarding_header.or(other.forwarding_header),
            spool: self.spool.or(other.spool),
            drain: self.drain.or(other.drain),
            log: self.log.or(other.log),
        }
    }
}

impl Settings {
    pub(crate) fn read(options: Options) -> Result<Self, Failure> {
        let options = match &options.config {
            None => options,
            Some(file) => {
                let named = |problem: &dyn std::fmt::Display| {
                    Failure::usage(format!("{}: {problem}", file.display()))
                };
                let text = std::fs::read_to_string(file).map_err(|error| named(&error))?;
                let more: Options =
                    toml::from_str(&text).map_err(|error| named(&error.message()))?;
                options.or(more)
            }
        };
        let named = |name: &str, error: &InvalidInput| Failure::usage(format!("{name}: {error}"));
        let mut keyring = Keyring::new();
        for prefix in &options.prefixes {
            let prefix = KeyPrefix::new(prefix);
            let prefix = prefix.map_err(|error| Failure::usage(format!("prefix: {error}")))?;
            keyring = keyring.with_prefix(prefix);
        }
        if let Some(file) = &options.peppers {
            keyring = with_peppers(keyring, file)?;
        }
        if options.custom_keys {
            keyring = keyring.with_custom_keys().map_err(|error| named("custom-keys", &error))?;
        }
        if options.imported_keys {
            keyring = keyring.with_imported_keys();
        }
        let address = if options.proxies.is_empty() {
            ClientAddress::peer()
        } else {
            let header = match options.forwarding_header.as_deref() {
                None | Some("x-forwarded-for") => ForwardingHeader::XForwardedFor,
                Some("forwarded") => ForwardingHeader::Forwarded,
                Some(_) => {
                    let message = "forwarding-header: must be x-forwarded-for or forwarded";
                    return Err(Failure::usage(message));
                }
            };
            let address = ClientAddress::behind(header, &options.proxies);
            address.map_err(|error| named("proxy", &error))?
        };
        let drain = match options.drain.as_deref() {
            None => Duration::from_secs(10),
            Some(text) => {
                let length = text.parse::<SignedDuration>().ok();
                let length = length.and_then(|length| Duration::try_from(length).ok());
                length.ok_or_else(|| Failure::usage("drain: must be a time like 10s or 1m"))?
            }
        };
        Ok(Self {
            database: options.database.unwrap_or_else(|| "sqlite://keyauth.db".into()),
            redis: options.redis,
            listen: options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            keyring,
            address,
            spool: options.spool.unwrap_or_else(|| "keyauth-spool".into()),
            drain,
            log: options.log.unwrap_or_else(|| "info".into()),
        })
    }

    /// Logs on standard error, as it was set.
    pub(crate) fn log(&self) {
        let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(&self.log);
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    }
}

/// Reads peppers, which nobody is told of: neither a line nor a part of one.
fn with_peppers(keyring: Keyring, file: &Path) -> Result<Keyring, Failure> {
    let named = |problem: &str| Failure::usage(format!("peppers: {}: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.map_err(|error| named(&error.to_string()))?;
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
