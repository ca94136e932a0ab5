//! The management API over HTTP, on SQLite and on PostgreSQL: the acceptance cases, and every answer
//! that its document has.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod documented;
mod generated;
mod lifecycle;
mod office;
mod proxies;
mod strict;
mod tenancy;
mod verify;

/// Runs cases on both stores: each is a function that takes an [`Office`](office::Office).
macro_rules! on_both_stores {
    ($($case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::office::Office::on_sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::office::Office::on_postgres().await).await;
            })*
        }
    };
}
use on_both_stores;
