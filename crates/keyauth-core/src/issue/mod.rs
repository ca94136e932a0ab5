//! From what people ask for to what stores write.

mod directory_update;
mod field;
mod guesses;
mod import;
mod invalid;
mod issued;
mod issuer;
mod new_key;
mod rotation;
mod update;

pub use directory_update::{BoundKeys, GroupUpdate, OwnerUpdate, TenantUpdate};
pub(crate) use field::Fields;
pub use guesses::CustomKeyGuesses;
pub use import::{ImportedSecret, NewImport};
pub use invalid::{InvalidInput, Problem};
pub use issued::IssuedKey;
pub use issuer::{Draft, Issuer, NewSecret, SecretKind};
pub use new_key::NewKey;
pub use rotation::Rotation;
pub use update::{KeyPatch, KeyUpdate, Patch};
