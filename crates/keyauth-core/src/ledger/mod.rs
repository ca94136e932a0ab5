//! What charges do to accounts: the rules of every ledger that keeps its books in Rust.

mod account;
mod charged;
mod name;

pub use account::BudgetAccount;
pub use charged::{ChargeStatus, ChargedAccounts};
pub use name::AccountName;
