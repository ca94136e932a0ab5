//! Keys of administrators: the first one, and another where that is lost.

use std::io::{ErrorKind, IsTerminal, Write};

use keyauth_admin::{ManagedStore, ManagementScope};
use keyauth_core::{
    Actor, IssuedKey, KeyQuery, KeyRef, NewKey, OwnerId, RequestName, StoreError, StoreErrorKind,
    TenantId,
};
use tempfile::NamedTempFile;

use crate::database::Database;
use crate::settings::StoreSettings;
use crate::told::{Failure, say};

/// Whom administrators' keys speak for.
const OWNER: &str = "administrator";

/// Where it is written to, where nobody looks.
const FILE: &str = "keyauth-admin.key";

/// `keyauth admin-key`.
pub(crate) async fn replace(settings: StoreSettings) -> Result<(), Failure> {
    let database = Database::open_there(&settings).await?;
    database.require_migrated().await?;
    match database {
        Database::Sqlite(store) => {
            let made = another(&store).await;
            store.close().await;
            made
        }
        Database::Postgres(store) => another(&store).await,
    }
}

async fn another(store: &impl ManagedStore) -> Result<(), Failure> {
    let out = Out::open()?;
    match store.acting_as(actor()?).issue(new("administrator")).await {
        Ok(key) => tell(store, out, &key).await,
        Err(error) => Err(failed(&error)),
    }
}

/// Makes the first one where the default tenant has no keys at all. Of several instances that start
/// at once one does.
pub(crate) async fn make_first(store: &impl ManagedStore) -> Result<(), Failure> {
    if has_keys(store, None).await? {
        if !has_keys(store, Some(OWNER)).await? {
            tracing::info!(
                "there are keys, and none of an administrator's; see `keyauth admin-key`"
            );
        }
        return Ok(());
    }
    let out = match Out::open() {
        Ok(out) => out,
        // Another instance may be writing it in this folder.
        Err(_) if has_keys(store, None).await? => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let (tenant, actor) = (TenantId::default(), actor()?);
    let mut name = "the first administrator's key".to_owned();
    loop {
        let asked = (&tenant, &actor);
        let request = RequestName::new(store.issuer().keyring(), asked, &name, "");
        let store_once = store.acting_as(actor.clone()).once(request);
        let error = match store_once.issue(new("first administrator")).await {
            Ok(key) => return tell(store, out, &key).await,
            Err(error) => error,
        };
        let StoreErrorKind::Repeated { key } = error.kind() else {
            return Err(failed(&error));
        };
        let found = store.key(&KeyRef::from((tenant.clone(), *key))).await;
        match found.as_ref().map_err(StoreError::kind) {
            // One that was made before, and could not be told.
            Err(StoreErrorKind::NotFound) => name = format!("the one behind {key}"),
            _ => {
                return found.map(drop).map_err(|error| failed(&error));
            }
        }
    }
}

async fn has_keys(store: &impl ManagedStore, owner: Option<&'static str>) -> Result<bool, Failure> {
    let mut first = KeyQuery::first(TenantId::default(), 1);
    let named = owner.map(OwnerId::new).transpose();
    first.owner = named.map_err(|error| Failure::other("nobody can be named", &error))?;
    let keys = store.keys(&first).await.map_err(|error| failed(&error))?;
    Ok(!keys.is_empty())
}

/// A key that may do everything.
fn new(name: &str) -> NewKey {
    let new = NewKey::named(name).owner(OWNER);
    ManagementScope::ALL.iter().copied().fold(new, NewKey::scope)
}

fn actor() -> Result<Actor, Failure> {
    Actor::new("keyauth").map_err(|error| Failure::other("nobody can be named", &error))
}

fn failed(error: &StoreError) -> Failure {
    match error.kind() {
        StoreErrorKind::Unavailable => Failure::away("no administrator's key can be made", error),
        _ => Failure::other("no administrator's key can be made", error),
    }
}

async fn tell(store: &impl ManagedStore, out: Out, key: &IssuedKey) -> Result<(), Failure> {
    let Err(failure) = out.tell(key) else { return Ok(()) };
    // A key that nobody has seen must not be the one that the next start relies on.
    store.delete(key).await.map_err(|error| failed(&error))?;
    Err(failure)
}

/// Where a key is told.
enum Out {
    Terminal,
    /// A file beside the one that it is to be, so that this is whole or not there at all, and made by
    /// one of several at once. Only its owner can read it, and it goes with its name.
    File(NamedTempFile),
}

impl Out {
    /// Before the key is made, so that one is not made in vain.
    fn open() -> Result<Self, Failure> {
        if std::io::stdout().is_terminal() {
            return Ok(Self::Terminal);
        }
        if std::fs::symlink_metadata(FILE).is_ok() {
            return Err(unwritten(&ErrorKind::AlreadyExists.into()));
        }
        let file = NamedTempFile::with_prefix_in(FILE, ".");
        let file = file.map_err(|error| unwritten(&error.kind().into()))?;
        Ok(Self::File(file))
    }

    fn tell(self, key: &IssuedKey) -> Result<(), Failure> {
        match self {
            Self::Terminal => {
                let key = key.reveal();
                say(format!("\nan administrator's key, shown this once:\n\n    {key}\n\n")
                    .as_bytes())
            }
            Self::File(mut file) => {
                let written = writeln!(file, "{}", key.reveal());
                let written = written.and_then(|()| file.as_file().sync_all());
                let written = written.and_then(|()| Ok(file.persist_noclobber(FILE)?));
                written.map_err(|error| unwritten(&error))?;
                // It is told, whoever reads this or not.
                let _ =
                    say(format!("an administrator's key is in {FILE}, which only you can read\n")
                        .as_bytes());
                Ok(())
            }
        }
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    let message = match error.kind() {
        ErrorKind::AlreadyExists => "move it away, or start in a terminal",
        _ => "start where it can be, or in a terminal",
    };
    let message = format!("the administrator's key cannot be written to {FILE}; {message}");
    Failure::other(&message, error)
}
