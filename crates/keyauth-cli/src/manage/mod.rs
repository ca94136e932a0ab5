//! Commands that manage what a store holds.

mod audit;
mod budgets;
mod changes;
mod decide;
mod groups;
mod import;
mod keys;
mod limits;
mod owners;
mod target;
mod tenants;
mod usage;
mod whose;

use clap::{Args, Subcommand};

pub(crate) use target::{AskedServer, Target};

use crate::api::Api;
use crate::shown::Form;
use crate::told::Failure;

/// What can be done, wherever the keys are.
#[derive(Debug, Subcommand)]
pub(crate) enum Manage {
    /// Issue, find, change, rotate and revoke keys.
    Keys(Noun<keys::Keys>),
    /// Whom keys speak for.
    Owners(Noun<owners::Owners>),
    /// Plans and teams that keys are bound to.
    Groups(Noun<groups::Groups>),
    /// Customers of the service, whose owners, groups and keys are nobody else's.
    Tenants(Noun<tenants::Tenants>),
    /// How limits stand, and having them begin anew: those of a server.
    Limits(Noun<limits::Limits>),
    /// How budgets stand, and having them begin anew.
    Budgets(Noun<budgets::Budgets>),
    /// What was used.
    Usage(Noun<usage::Usage>),
    /// Who changed what, the newest first.
    Audit(Verb<audit::Audit>),
    /// Decide about a key, which is asked for or read from standard input: as one call of it.
    ///
    /// Servers count how often: without --server a limit is asked as if nothing had been before.
    Verify(Verb<decide::Verify>),
    /// Tell why a key is let through, or is not, without counting anything.
    Explain(Verb<decide::Explain>),
}

/// Something with commands of its own, and where it is.
#[derive(Args, Debug)]
pub(crate) struct Noun<C: Subcommand> {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    command: C,
}

/// A command, and where.
#[derive(Args, Debug)]
pub(crate) struct Verb<C: Args> {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    command: C,
}

#[derive(Args, Debug)]
struct Where {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    target: Target,
}

impl Manage {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Keys(Noun { place, command }) => place.ask(command).await,
            Self::Owners(Noun { place, command }) => place.ask(command).await,
            Self::Groups(Noun { place, command }) => place.ask(command).await,
            Self::Tenants(Noun { place, command }) => place.ask(command).await,
            Self::Limits(Noun { place, command }) => place.ask(command).await,
            Self::Budgets(Noun { place, command }) => place.ask(command).await,
            Self::Usage(Noun { place, command }) => place.ask(command).await,
            Self::Audit(Verb { place, command }) => place.ask(command).await,
            Self::Verify(Verb { place, command }) => place.ask(command).await,
            Self::Explain(Verb { place, command }) => place.ask(command).await,
        }
    }
}

impl Where {
    /// Asks it there, and ends what was begun for that in any case.
    async fn ask(self, command: impl Command) -> Result<(), Failure> {
        let api = Api::open(self.target).await?;
        let done = command.run(&api, self.form).await;
        api.close().await;
        done
    }
}

/// What is asked of the management API.
trait Command {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure>;
}
