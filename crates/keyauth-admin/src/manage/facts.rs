//! What is known of a request that somebody asks about.

use std::net::IpAddr;

use keyauth_core::{Problem, RequestFacts, Scope};

use crate::problem::ApiError;

/// How many scopes are asked for at most.
const MOST: usize = 256;

/// The facts, and what they borrow from.
pub(crate) struct Facts<'a> {
    scopes: Vec<Scope>,
    address: Option<IpAddr>,
    endpoint: Option<(&'a str, &'a str)>,
    resource: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub(crate) fn read(
        scopes: &[String],
        address: Option<IpAddr>,
        endpoint: (Option<&'a str>, Option<&'a str>),
        resource: Option<&'a str>,
    ) -> Result<Self, ApiError> {
        if scopes.len() > MOST {
            return Err(Problem::new("scopes", format!("must have at most {MOST} entries")).into());
        }
        let mut problems = Vec::new();
        let scopes = scopes.iter().enumerate().filter_map(|(at, text)| {
            let problem = |error: keyauth_core::InvalidScope| {
                problems.push(Problem::new(format!("scopes[{at}]"), error.to_string()));
            };
            Scope::new(text).map_err(problem).ok()
        });
        let scopes = scopes.collect();
        let endpoint = match endpoint {
            (Some(method), Some(path)) => Some((method, path)),
            (None, None) => None,
            (Some(_), None) => {
                problems.push(Problem::new("path", "is required beside method"));
                None
            }
            (None, Some(_)) => {
                problems.push(Problem::new("method", "is required beside path"));
                None
            }
        };
        if problems.is_empty() {
            let address = address.map(|address| address.to_canonical());
            Ok(Self { scopes, address, endpoint, resource })
        } else {
            Err(ApiError::Invalid(problems))
        }
    }

    pub(super) fn borrow(&self) -> RequestFacts<'_> {
        RequestFacts {
            address: self.address,
            endpoint: self.endpoint,
            resource: self.resource,
            scopes: &self.scopes,
        }
    }
}
