//! What people ask for when they take over a key of another system.

use std::fmt;

use super::field::Fields;
use super::{InvalidInput, Problem};
use crate::key::PREFIX_LEN;
use crate::{ImportedHash, KeyDigest, KeyHint, Keyring, SecretId, Timestamp};

/// How much of a beginning is shown: as much as of a custom key.
const SHOWN: usize = 4;

/// The hash of a key that another system has issued.
#[derive(Clone)]
pub struct ImportedSecret {
    hash: ImportedHash,
    begins_with: Option<String>,
}

impl fmt::Debug for ImportedSecret {
    /// Says what made the hash, and nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedSecret").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl ImportedSecret {
    /// A key with this hash. bcrypt and argon2 need to be told how it begins.
    #[must_use]
    pub const fn new(hash: ImportedHash) -> Self {
        Self { hash, begins_with: None }
    }

    /// How the key begins: 4 to 32 characters, as the other system shows them. A slow hash is
    /// found by that, and tried with every key that begins so: sixteen of them at most may be given
    /// the same beginning. It helps whoever reads the store to guess the rest, so it should be no
    /// more than others see anyway.
    #[must_use]
    pub fn begins_with(self, prefix: impl Into<String>) -> Self {
        Self { begins_with: Some(prefix.into()), ..self }
    }

    /// Checks everything and makes of it what a store writes.
    pub(super) fn check(
        self,
        id: SecretId,
        keyring: &Keyring,
        created_at: Timestamp,
    ) -> Result<NewImport, InvalidInput> {
        let mut fields = Fields::default();
        if !keyring.accepts_imported_keys() {
            fields.problem("hash", "cannot be taken over; the keyring must accept imported keys");
        }
        if let Some(prefix) = &self.begins_with {
            let printable = prefix.bytes().all(|byte| byte.is_ascii_graphic());
            if !PREFIX_LEN.contains(&prefix.len()) || !printable {
                let message = "must be 4 to 32 printable ASCII characters without spaces";
                fields.problem("begins_with", message);
            } else if keyring.begins_like_ours(prefix.as_bytes()) {
                let message = "begins like keys of ours, whose checksum this one would not have; \
                               give new keys another prefix";
                fields.problem("begins_with", message);
            }
        }
        fields.finish(())?;
        let shown = self.begins_with.iter().flat_map(|prefix| prefix.chars());
        let hint = KeyHint::from_stored(shown.take(SHOWN).collect::<String>());
        let lookup = self.hash.lookup(self.begins_with.as_deref());
        let lookup = lookup.ok_or_else(|| {
            Problem::new("begins_with", "is needed: a slow hash is found by nothing else")
        })?;
        let fingerprint = self.hash.fingerprint();
        Ok(NewImport { id, lookup, hash: self.hash, fingerprint, hint, created_at })
    }
}

/// What a store writes of a key of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImport {
    /// Names it, and the secret it will be.
    pub id: SecretId,
    /// What it is found by.
    pub lookup: KeyDigest,
    /// What is verified.
    pub hash: ImportedHash,
    /// What tells that the same hash was imported before.
    pub fingerprint: KeyDigest,
    /// What may be shown of it.
    pub hint: KeyHint,
    /// When it was imported.
    pub created_at: Timestamp,
}

impl NewImport {
    /// That no other key may begin like this one: for stores.
    #[must_use]
    pub fn too_many_alike() -> InvalidInput {
        Problem::new("begins_with", "is how sixteen others begin; take more characters").into()
    }
}
