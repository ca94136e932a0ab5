//! The management API: of a server, or of a store that is at hand.

mod call;
mod local;
mod problem;
mod server;

use axum::body::Body;
use axum::http::{Method, Request, Response};

pub(crate) use call::{Call, cut_off, whole};
use local::Local;
pub(crate) use server::Place;
use server::Server;

use crate::manage::Target;
use crate::told::Failure;

/// Whoever answers, asked in the same way and by the same rules.
pub(crate) struct Api {
    answers: Answers,
    /// Whose things are meant, where it is said.
    tenant: Option<String>,
}

enum Answers {
    Server(Server),
    Store(Local),
}

impl Api {
    /// Connects to what the settings name.
    pub(crate) async fn open(target: Target) -> Result<Self, Failure> {
        let Target { server, tenant, store } = target;
        if let Some(server) = server.place(&store)? {
            return Ok(Self { tenant, ..Self::of_server(server)? });
        }
        let mut settings = store.understood()?;
        settings.log();
        Ok(Self { answers: Answers::Store(Local::open(&settings).await?), tenant })
    }

    pub(crate) fn of_server(place: Place) -> Result<Self, Failure> {
        Ok(Self { answers: Answers::Server(Server::new(place)?), tenant: None })
    }

    /// Ends what goes on beside it.
    pub(crate) async fn close(self) {
        match self.answers {
            Answers::Server(_) => {}
            Answers::Store(local) => local.close().await,
        }
    }

    /// Whether limits can be asked for: they are counted by servers.
    pub(crate) fn counts_limits(&self) -> bool {
        matches!(self.answers, Answers::Server(_))
    }

    /// Whether it is said whose things are meant.
    pub(crate) const fn names_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        Call::new(self, Method::DELETE, path)
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Failure> {
        match &self.answers {
            Answers::Server(server) => server.send(request).await,
            Answers::Store(local) => Ok(local.send(request).await),
        }
    }
}
