//! `keyauth migrate`.

use crate::database::{Database, away};
use crate::settings::StoreSettings;
use crate::told::{Failure, say};

pub(crate) async fn migrate(settings: StoreSettings) -> Result<(), Failure> {
    let done = match Database::open(&settings).await? {
        // Opening it has done it.
        Database::Sqlite(store) => {
            store.close().await;
            "the file is up to date".to_owned()
        }
        Database::Postgres(store) => {
            match store.migrate().await.map_err(|error| away(&error))?.as_slice() {
                [] => "the schema is up to date".to_owned(),
                [.., last] => format!("the schema is at version {last} now"),
            }
        }
    };
    say(format!("{done}\n").as_bytes())
}
