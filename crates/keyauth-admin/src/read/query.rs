//! Parameters.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use keyauth_core::Problem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::{problem_of, shown};
use crate::problem::ApiError;

/// The parameters of a query, of up to three kinds. There are those that the document names.
pub(crate) struct Query<A, B = NoMore, C = NoMore>(pub(crate) A, pub(crate) B, pub(crate) C);

/// No parameters.
#[derive(Debug, Deserialize)]
pub(crate) struct NoMore {}

/// How many are looked at: more than there are.
const MOST: usize = 32;

impl IntoParams for NoMore {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        Vec::new()
    }
}

impl<S, A, B, C> FromRequestParts<S> for Query<A, B, C>
where
    S: Sync,
    A: DeserializeOwned + IntoParams,
    B: DeserializeOwned + IntoParams,
    C: DeserializeOwned + IntoParams,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut sets = [Set::of::<A>(), Set::of::<B>(), Set::of::<C>()];
        sort(parts.uri.query().unwrap_or_default(), &mut sets)?;
        let [first, second, third] = sets;
        Ok(Self(first.read()?, second.read()?, third.read()?))
    }
}

/// Parameters of one kind.
#[cfg(any(test, fuzzing))]
pub(crate) fn one<T: DeserializeOwned + IntoParams>(query: &str) -> Result<T, ApiError> {
    let mut sets = [Set::of::<T>(), Set::of::<NoMore>(), Set::of::<NoMore>()];
    sort(query, &mut sets)?;
    let [set, ..] = sets;
    set.read()
}

/// Names that there are, and what of it was sent.
struct Set {
    names: Vec<String>,
    sent: Vec<(String, String)>,
}

impl Set {
    fn of<T: IntoParams>() -> Self {
        let names = T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
        Self { names, sent: Vec::new() }
    }

    fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let text = text.extend_pairs(self.sent).finish();
        let values = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
        let read = serde_path_to_error::deserialize(values);
        read.map_err(|error| problem_of(error.path(), error.inner()).into())
    }
}

/// Gives each set what is its own.
fn sort(query: &str, sets: &mut [Set; 3]) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).take(MOST) {
        let known = sets.iter_mut().find(|set| set.names.iter().any(|known| *known == name));
        match known {
            None => {
                let names: Vec<_> = sets.iter().flat_map(|set| &set.names).cloned().collect();
                let problem = format!("is unknown; there are {}", names.join(", "));
                problems.push(Problem::new(shown(&name), problem));
            }
            Some(set) if set.sent.iter().any(|(known, _)| *known == name) => {
                problems.push(Problem::new(name, "is there twice"));
            }
            Some(set) => set.sent.push((name.into_owned(), value.into_owned())),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ApiError::Invalid(problems)) }
}
