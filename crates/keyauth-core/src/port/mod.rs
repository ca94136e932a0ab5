//! What core needs of the world, as traits that adapters implement.

mod clock;
mod directory;
mod lookup;
mod store;

pub use clock::{Clock, SystemClock};
pub use directory::Directory;
pub use lookup::{KeyLookup, Peek};
pub use store::{KeyPage, KeyStore};
