//! The layer, and all that can be set on it.

use std::fmt;
use std::sync::{Arc, Once};

use bytes::Bytes;
use http::Response;
use keyauth_core::{Amount, Authenticator, Guard};
use tower_layer::Layer;

use crate::limits::Telling;
use crate::refusal::Style;
use crate::{ClientAddress, KeyAuth, KeySources, Refusal, RequestHead};

/// Lets through to a service only requests that bring an admitted key.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct KeyAuthLayer {
    settings: Arc<Settings>,
}

/// What a layer and its services share.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) auth: Authenticator,
    pub(crate) sources: KeySources,
    pub(crate) address: ClientAddress,
    /// Whether somebody has said how the client's address is found.
    pub(crate) address_is_known: bool,
    pub(crate) guard: Option<Arc<dyn Guard>>,
    pub(crate) strangers: Strangers,
    pub(crate) foreign: Foreign,
    pub(crate) http_only: bool,
    realm: String,
    /// Whether refusals from further in, told in plain words, must be told in others.
    pub(crate) restyles: bool,
    pub(crate) style: Style,
    pub(crate) skip: Option<Arc<Skip>>,
    pub(crate) cost: Option<Arc<Cost>>,
    pub(crate) price: Option<Arc<Price>>,
    pub(crate) telling: Telling,
    pub(crate) peer_warning: Arc<Once>,
    pub(crate) guard_warning: Arc<Once>,
}

type Skip = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;
type Cost = dyn Fn(&RequestHead<'_>) -> u64 + Send + Sync;
type Price = dyn Fn(&RequestHead<'_>) -> Amount + Send + Sync;

/// What becomes of requests without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strangers {
    Refused,
    Anonymous,
}

/// What becomes of requests whose only credential is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    Refused,
    Anonymous,
}

impl KeyAuthLayer {
    /// Every request must bring a key that `auth` admits, as `Authorization: Bearer` or in
    /// `X-Api-Key`.
    #[must_use]
    pub fn new(auth: Authenticator) -> Self {
        let settings = Settings {
            auth,
            sources: KeySources::default(),
            address: ClientAddress::peer(),
            address_is_known: false,
            guard: None,
            strangers: Strangers::Refused,
            foreign: Foreign::Refused,
            http_only: false,
            realm: Style::DEFAULT_REALM.to_owned(),
            restyles: false,
            style: Style::default(),
            skip: None,
            cost: None,
            price: None,
            telling: Telling::default(),
            peer_warning: Arc::new(Once::new()),
            guard_warning: Arc::new(Once::new()),
        };
        Self { settings: Arc::new(settings) }
    }

    /// Looks for keys elsewhere.
    #[must_use]
    pub fn with_sources(self, sources: KeySources) -> Self {
        self.change(|settings| {
            settings.sources = sources;
            settings.restyle();
        })
    }

    /// Finds the client's address otherwise than from the peer: behind proxies, say.
    #[must_use]
    pub fn with_client_address(self, address: ClientAddress) -> Self {
        self.change(|settings| {
            settings.address = address;
            settings.address_is_known = true;
        })
    }

    /// Holds up clients that present keys which nobody has issued: they get 429, and nothing is
    /// looked up for them, until the guard lets them go. Whoever presents a key that is cached is
    /// never held up.
    ///
    /// Clients are told apart by address, of IPv6 by the network `/64`. It takes effect where
    /// [`with_client_address`](Self::with_client_address) says how that is found
    /// ([`ClientAddress::peer`] will do without a proxy): behind one that was forgotten, one
    /// stranger would hold up all.
    #[must_use]
    pub fn with_guard(self, guard: impl Guard + 'static) -> Self {
        self.change(|settings| settings.guard = Some(Arc::new(guard)))
    }

    /// Lets requests without any credential through, without a
    /// [`Principal`](crate::Principal). A credential that is there must still be good.
    #[must_use]
    pub fn optional(self) -> Self {
        self.change(|settings| settings.strangers = Strangers::Anonymous)
    }

    /// Lets requests whose credentials are none of ours through, without a
    /// [`Principal`](crate::Principal): for JSON web tokens beside API keys, which somebody
    /// behind this layer must then check. Requests without any credential are refused as
    /// before, unless they are [`optional`](Self::optional).
    #[must_use]
    pub fn pass_foreign_tokens(self) -> Self {
        self.change(|settings| settings.foreign = Foreign::Anonymous)
    }

    /// Lets requests through unseen where the predicate says so: health checks, reflection.
    ///
    /// The predicate sees what the client sent. Compare paths as a whole
    /// (`head.original_path() == "/health"`): the beginning of a path says little about
    /// where a router takes it.
    #[must_use]
    pub fn skip<F>(self, predicate: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        self.change(|settings| settings.skip = Some(Arc::new(predicate)))
    }

    /// Says what a request costs, for limits that
    /// [count that](keyauth_core::Limit::of_cost), like tokens; one otherwise.
    #[must_use]
    pub fn with_cost<F>(self, cost: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> u64 + Send + Sync + 'static,
    {
        self.change(|settings| settings.cost = Some(Arc::new(cost)))
    }

    /// Says what a request is charged to budgets: reserved before the service is called, and charged
    /// as far as the service does not [count](crate::Charge) otherwise. What costs nothing is let
    /// through even where budgets are used up; that is also how it is without this, for handlers
    /// that reserve by themselves what they know better.
    ///
    /// It takes effect where the authenticator has a
    /// [meter](keyauth_core::Authenticator::with_meter).
    #[must_use]
    pub fn with_price<F>(self, price: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Amount + Send + Sync + 'static,
    {
        self.change(|settings| settings.price = Some(Arc::new(price)))
    }

    /// Tells how limits stand in every response, in the fields `RateLimit` and
    /// `RateLimit-Policy`
    /// ([draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) 10).
    /// Refusals by a limit tell it in any case. It costs some allocations for each request.
    #[must_use]
    pub fn tell_limits(self) -> Self {
        self.change(|settings| settings.telling.on_success = true)
    }

    /// Tells the tightest limit in `X-RateLimit-Limit`, `-Remaining` and `-Reset` too, wherever
    /// limits are told; the last in seconds from now.
    #[must_use]
    pub fn with_x_ratelimit(self) -> Self {
        self.change(|settings| settings.telling.x_headers = true)
    }

    /// Never refuses in the gRPC shape: for services that answer a gateway's question
    /// whether to let somebody in, where a status 200 is a yes.
    #[must_use]
    pub fn http_only(self) -> Self {
        self.change(|settings| {
            settings.http_only = true;
            settings.restyles = true;
        })
    }

    /// Names the protected space in `WWW-Authenticate` (RFC 9110 section 11.5); `api`
    /// otherwise. Characters other than printable ASCII, and `"` and `\`, are left out.
    #[must_use]
    pub fn with_realm(self, realm: &str) -> Self {
        let printable = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
        let realm = realm.chars().filter(printable).collect();
        self.change(|settings| {
            settings.realm = realm;
            settings.restyle();
        })
    }

    /// Replaces shape and wording of this layer's refusals, and of those by
    /// [`Require`](crate::Require) layers and extractors behind it.
    ///
    /// The closure is given the response as it would be sent and changes what it likes;
    /// what it leaves, like status, `WWW-Authenticate` and `Cache-Control`, stays.
    /// [`openai_error`](crate::openai_error) is one to take as it is or as an example.
    #[must_use]
    pub fn with_refusals<F>(self, reshape: F) -> Self
    where
        F: Fn(&Refusal, &mut Response<Bytes>) + Send + Sync + 'static,
    {
        self.change(|settings| {
            settings.style.reshape = Some(Arc::new(reshape));
            settings.restyles = true;
        })
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<S> Layer<S> for KeyAuthLayer {
    type Service = KeyAuth<S>;

    fn layer(&self, inner: S) -> KeyAuth<S> {
        KeyAuth::new(inner, Arc::clone(&self.settings))
    }
}

impl Settings {
    fn restyle(&mut self) {
        let reshape = self.style.reshape.take();
        self.style = Style { reshape, ..Style::new(&self.realm, &self.sources) };
        self.restyles = true;
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("auth", &self.auth)
            .field("sources", &self.sources)
            .field("address", &self.address)
            .field("strangers", &self.strangers)
            .field("foreign", &self.foreign)
            .field("http_only", &self.http_only)
            .field("style", &self.style)
            .field("guard", &self.guard)
            .field("skip", &self.skip.is_some())
            .field("cost", &self.cost.is_some())
            .field("price", &self.price.is_some())
            .field("telling", &self.telling)
            .finish()
    }
}
