//! The rules a key carries: scopes, addresses, endpoints, resources.
//!
//! Rules of one kind share their manners. They are read strictly when somebody sets them,
//! and leniently when they come back from a store: a stored allow list of which nothing is
//! valid allows nothing, a stored deny list that cannot be read in full denies everybody.

mod address;
mod endpoint;
mod path;
mod ranges;
mod resource;
mod scope;

pub use address::{AddressRules, AddressSet};
pub use endpoint::{EndpointRule, EndpointRules};
pub(crate) use path::is_ambiguous;
pub use resource::ResourceRules;
pub use scope::{InvalidScope, Scope, Scopes};
