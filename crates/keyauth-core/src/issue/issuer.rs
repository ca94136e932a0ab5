//! Makes keys out of what people ask for.

use std::sync::Arc;

use super::field::Fields;
use super::{ImportedSecret, InvalidInput, NewImport, NewKey, Problem, Rotation};
use crate::record::words;
use crate::{
    Clock, CustomKeys, DigestScheme, IssuedKey, Key, KeyDigest, KeyHint, KeyId, KeyPrefix, Keyring,
    PlaintextKey, SecretId, StoreError, SystemClock, Timestamp,
};

/// Makes secrets and records for a store, which then writes them.
///
/// Every store holds one, so that all of them issue alike. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Issuer {
    keyring: Keyring,
    clock: Arc<dyn Clock>,
}

/// A key ready to be written, and its plaintext, which is not.
#[derive(Debug)]
pub struct Draft {
    /// The key to write.
    pub key: Key,
    /// The secret to write with it.
    pub secret: NewSecret,
    plaintext: PlaintextKey,
}

impl Draft {
    /// What issuing gives back, once a store has written the rest.
    #[must_use]
    pub fn into_issued(self) -> IssuedKey {
        IssuedKey::new(self.key, self.plaintext)
    }
}

/// What a store writes of a new secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSecret {
    /// Names it.
    pub id: SecretId,
    /// What it is looked up by.
    pub digest: KeyDigest,
    /// How the digest was made.
    pub scheme: DigestScheme,
    /// Who made the secret.
    pub kind: SecretKind,
    /// What may be shown of it.
    pub hint: KeyHint,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Who made a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretKind {
    /// We did.
    Generated,
    /// Its holder did, which the tenant must allow.
    Custom,
}

words!(SecretKind { Generated => "generated", Custom => "custom" });

impl NewSecret {
    /// Whether a tenant's secret may be this one.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`] where it is custom and the tenant does not allow that.
    pub fn check_allowed(&self, custom_keys: CustomKeys) -> Result<(), InvalidInput> {
        if self.kind == SecretKind::Custom && custom_keys == CustomKeys::Refused {
            return Err(Problem::new("custom_key", "is not allowed for this tenant").into());
        }
        Ok(())
    }
}

impl Default for Issuer {
    fn default() -> Self {
        Self { keyring: Keyring::new(), clock: Arc::new(SystemClock::new()) }
    }
}

impl Issuer {
    /// The default keyring, by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Issues by another keyring.
    #[must_use]
    pub fn with_keyring(self, keyring: Keyring) -> Self {
        Self { keyring, ..self }
    }

    /// Issues by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The keyring.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The time by its clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What tells it the time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Makes a key without writing it; [`KeyStore::issue`](crate::KeyStore::issue) does both.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::StoreErrorKind::InvalidInput) with every problem;
    /// [`Unavailable`](crate::StoreErrorKind::Unavailable) where the operating system gives
    /// no randomness.
    pub fn draft(&self, new: NewKey) -> Result<Draft, StoreError> {
        let now = self.now();
        let id = KeyId::generate(now).map_err(StoreError::unavailable)?;
        let (mut key, prefix, custom) = new.check(id, &self.keyring, now)?;
        let (secret, plaintext) = self.secret(&prefix, custom, now)?;
        key.hint = secret.hint.clone();
        Ok(Draft { key, secret, plaintext })
    }

    /// Makes a key of another system's hash; [`ImportStore::import`](crate::ImportStore::import)
    /// writes it too.
    ///
    /// # Errors
    ///
    /// Those of [`draft`](Self::draft).
    pub fn adopt(
        &self,
        new: NewKey,
        secret: ImportedSecret,
    ) -> Result<(Key, NewImport), StoreError> {
        let now = self.now();
        let id = KeyId::generate(now).map_err(StoreError::unavailable)?;
        let (mut key, _, custom) = new.check(id, &self.keyring, now)?;
        if custom.is_some() {
            return Err(
                InvalidInput::from(Problem::new("custom_key", "has no hash beside it")).into()
            );
        }
        let id = SecretId::generate(now).map_err(StoreError::unavailable)?;
        let secret = secret.check(id, &self.keyring, now)?;
        key.hint = secret.hint.clone();
        Ok((key, secret))
    }

    /// The secret that an imported hash becomes.
    pub(crate) fn recognised(&self, id: SecretId, key: &PlaintextKey) -> NewSecret {
        let (digest, scheme) = self.keyring.digest_new(key.reveal());
        let hint = KeyHint::of_custom(key.reveal());
        NewSecret { id, digest, scheme, kind: SecretKind::Custom, hint, created_at: self.now() }
    }

    /// The new secret of a rotation, its plaintext, and the end of the old ones.
    pub(crate) fn rotate(
        &self,
        key: &Key,
        rotation: Rotation,
    ) -> Result<(NewSecret, PlaintextKey, Timestamp), StoreError> {
        let now = self.now();
        let prefix = key.hint.prefix().filter(|prefix| self.keyring.has_prefix(prefix));
        let prefix = prefix.unwrap_or_else(|| self.keyring.default_prefix());
        let mut fields = Fields::default();
        if let Some(custom) = &rotation.custom {
            fields.custom_key(custom, &self.keyring);
        }
        fields.finish(())?;
        let (secret, plaintext) = self.secret(&prefix, rotation.custom, now)?;
        Ok((secret, plaintext, now.saturating_add(rotation.grace)))
    }

    #[cfg(test)]
    pub(crate) fn at(now: Timestamp) -> Self {
        #[derive(Debug)]
        struct Stopped(Timestamp);
        impl Clock for Stopped {
            fn now(&self) -> Timestamp {
                self.0
            }
            fn uptime(&self) -> std::time::Duration {
                std::time::Duration::ZERO
            }
        }
        Self::new().with_clock(Arc::new(Stopped(now)))
    }

    fn secret(
        &self,
        prefix: &KeyPrefix,
        custom: Option<PlaintextKey>,
        now: Timestamp,
    ) -> Result<(NewSecret, PlaintextKey), StoreError> {
        let id = SecretId::generate(now).map_err(StoreError::unavailable)?;
        let (plaintext, kind, hint) = match custom {
            Some(custom) => {
                let hint = KeyHint::of_custom(custom.reveal());
                (custom, SecretKind::Custom, hint)
            }
            None => {
                let made = PlaintextKey::generate(prefix).map_err(StoreError::unavailable)?;
                let hint = KeyHint::of_generated(made.reveal());
                (made, SecretKind::Generated, hint)
            }
        };
        let (digest, scheme) = self.keyring.digest_new(plaintext.reveal());
        Ok((NewSecret { id, digest, scheme, kind, hint, created_at: now }, plaintext))
    }
}
