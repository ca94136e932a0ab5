//! Keys of other systems, by their hashes: bcrypt, argon2, SHA-512, SHA-256.
//!
//! Whoever moves from another system has hashes of its keys, and holders who go on using them. The
//! hashes are imported; when a key is presented for the first time it is verified, once, and found
//! by its digest from then on, like any other.
//!
//! ```
//! use keyauth_core::{
//!     Authenticator, ImportStore, ImportedSecret, Issuer, Keyring, MemoryStore, NewKey, RequestFacts,
//! };
//! use keyauth_import::KeyImporter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = Issuer::new().with_keyring(Keyring::new().with_imported_keys());
//! let store = MemoryStore::with_issuer(issuer);
//! let hash = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
//! let hash = ImportedSecret::new(hash.parse()?).begins_with("correct");
//! let key = store.import(NewKey::named("from before").owner("ada"), hash).await?;
//!
//! let auth = Authenticator::new(store.clone()).with_importer(KeyImporter::new(store));
//! let decision = auth.verify("correctbatteryhorsestapler", &RequestFacts::new()).await?;
//! assert_eq!(decision.expect("it is the right one").key_id(), key.id);
//! # Ok(())
//! # }
//! ```
//!
//! The rules it keeps:
//!
//! * A slow hash is verified off the threads that serve requests, by few at once; who would wait
//!   for longer than a second has no answer, and is not told no.
//! * What is remembered is the digest of the whole key, never of its beginning.
//! * bcrypt looks at 72 bytes and no further, so only shorter keys are taken for one of its hashes.
//! * Nobody is held up whose key is known: only what no cache and no store knows comes here.

mod importer;
mod verify;

pub use importer::KeyImporter;
