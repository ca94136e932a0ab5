//! `keyauth migrate`.

use std::io::Write;

use crate::database::{Database, away};
use crate::settings::Settings;
use crate::told::Failure;

pub(crate) async fn migrate(settings: Settings) -> Result<(), Failure> {
    let done = match Database::open(&settings.database, &settings.keyring).await? {
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
    let told = writeln!(std::io::stdout(), "{done}");
    told.map_err(|error| Failure::other("standard output is not to be written to", &error))
}
