//! `keyauth doctor`.

mod database;
mod redis;
mod report;
mod server;

use clap::Args;
use report::Report;

use crate::manage::AskedServer;
use crate::settings::Options;
use crate::shown::Form;
use crate::told::Failure;

/// What is looked at, and where.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    server: AskedServer,
    #[command(flatten)]
    options: Options,
}

impl Doctor {
    /// Looks at everything, whatever is found on the way, and fails where something is wrong.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut report = Report::new(self.form);
        if let Some(place) = self.server.place(self.options.store())? {
            server::look(&mut report, place).await?;
            return report.end();
        }
        let mut settings = self.options.understood()?;
        settings.store.log();
        database::look(&mut report, &settings).await?;
        match &settings.redis {
            Some(pool) => redis::look(&mut report, pool).await?,
            None => report.fine("redis", "none is named; several instances need one for limits")?,
        }
        report.end()
    }
}
