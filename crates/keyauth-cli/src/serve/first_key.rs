//! The first administrator's key.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

use keyauth_admin::{ManagedStore, ManagementScope};
use keyauth_core::{
    Actor, IssuedKey, KeyQuery, KeyRef, NewKey, RequestName, StoreError, StoreErrorKind, TenantId,
};

use crate::told::Failure;

/// Where it is written to, where nobody looks.
const FILE: &str = "keyauth-admin.key";

/// Makes it on the first start: where the default tenant has no keys at all. Of several instances
/// that start at once one does.
pub(super) async fn make(store: &impl ManagedStore, address: SocketAddr) -> Result<(), Failure> {
    let failed = |error: StoreError| Failure::other("no administrator's key can be made", &error);
    let first = KeyQuery::first(TenantId::default(), 1);
    if !store.keys(&first).await.map_err(failed)?.is_empty() {
        return Ok(());
    }
    let out = Out::open()?;
    let (tenant, actor) = (TenantId::default(), Actor::new("keyauth-serve"));
    let actor = actor.map_err(|error| Failure::other("nobody can be named", &error))?;
    let new = || {
        let new = NewKey::named("first administrator").owner("administrator");
        ManagementScope::ALL.iter().copied().fold(new, NewKey::scope)
    };
    let mut name = "the first administrator's key".to_owned();
    let key = loop {
        let asked = (&tenant, &actor);
        let request = RequestName::new(store.issuer().keyring(), asked, &name, "");
        let error = match store.acting_as(actor.clone()).once(request).issue(new()).await {
            Ok(key) => break key,
            Err(error) => error,
        };
        let StoreErrorKind::Repeated { key } = error.kind() else {
            out.give_up();
            return Err(failed(error));
        };
        let found = store.key(&KeyRef::from((tenant.clone(), *key))).await;
        match found.as_ref().map_err(StoreError::kind) {
            // One that was made before, and could not be told.
            Err(StoreErrorKind::NotFound) => name = format!("the one behind {key}"),
            _ => {
                out.give_up();
                return found.map(drop).map_err(failed);
            }
        }
    };
    if let Err(error) = out.tell(&key, address) {
        // A key that nobody has seen must not be the one that the next start relies on.
        store.delete(&key).await.map_err(failed)?;
        return Err(Failure::other("the administrator's key cannot be told", &error));
    }
    Ok(())
}

/// Where the key is told.
enum Out {
    Terminal,
    File(File),
}

impl Out {
    /// Before the key is made, so that one is not made in vain.
    fn open() -> Result<Self, Failure> {
        if io::stdout().is_terminal() {
            return Ok(Self::Terminal);
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(FILE).map_err(|error| {
            let message = format!(
                "the administrator's key would be written to {FILE}, which cannot be made; move \
                 away what is there, or start in a terminal"
            );
            Failure::other(&message, &error)
        })?;
        Ok(Self::File(file))
    }

    fn give_up(self) {
        if let Self::File(_) = self {
            let _ = std::fs::remove_file(FILE);
        }
    }

    fn tell(self, key: &IssuedKey, address: SocketAddr) -> io::Result<()> {
        match self {
            Self::Terminal => {
                let mut out = io::stdout().lock();
                writeln!(out, "\nThe first administrator's key, shown this once:\n")?;
                writeln!(out, "    {}\n", key.reveal())?;
                writeln!(out, "Try it:\n")?;
                writeln!(
                    out,
                    "    curl http://{address}/v1/me -H 'Authorization: Bearer {}'\n",
                    key.reveal()
                )?;
                out.flush()
            }
            Self::File(mut file) => {
                let written = writeln!(file, "{}", key.reveal()).and_then(|()| file.sync_all());
                if written.is_err() {
                    let _ = std::fs::remove_file(FILE);
                }
                written?;
                let mut out = io::stdout().lock();
                writeln!(
                    out,
                    "the first administrator's key is in {FILE}, which only you can read"
                )?;
                out.flush()
            }
        }
    }
}
