//! Pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyauth_core::Problem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::ApiError;

/// Which part of a list to read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// How many at most: 1 to 200, 50 otherwise.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
    /// Where the page before has ended: its `next_cursor`.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageView<T> {
    /// In their order.
    items: Vec<T>,
    /// What to ask for the next part with; `null` behind the last.
    next_cursor: Option<String>,
}

/// A place in a list, in a form that nobody takes apart.
pub(crate) struct Cursor;

impl Cursor {
    fn write(place: &impl Serialize) -> Option<String> {
        serde_json::to_vec(place).ok().map(|place| URL_SAFE_NO_PAD.encode(place))
    }

    fn read<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
        let place = URL_SAFE_NO_PAD.decode(text).ok();
        let place = place.and_then(|place| serde_json::from_slice(&place).ok());
        place.ok_or_else(|| Problem::new("cursor", "is none that was given out").into())
    }
}

impl PageParams {
    const MOST: u16 = 200;
    const USUAL: u16 = 50;

    /// One more than is asked for, to see whether there are more; and behind what.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<(u16, Option<T>), ApiError> {
        let count = self.limit.unwrap_or(Self::USUAL);
        if !(1..=Self::MOST).contains(&count) {
            return Err(Problem::new("limit", "must be 1 to 200").into());
        }
        let after = self.cursor.as_deref().map(Cursor::read).transpose()?;
        Ok((count + 1, after))
    }

    /// The page, of what was read by that.
    pub(crate) fn page<T, V, P: Serialize>(
        &self,
        mut read: Vec<T>,
        place: impl FnOnce(&T) -> P,
        view: impl FnMut(T) -> V,
    ) -> PageView<V> {
        let count = usize::from(self.limit.unwrap_or(Self::USUAL));
        let more = read.len() > count;
        read.truncate(count);
        let last = read.last().filter(|_| more);
        let next_cursor = last.and_then(|last| Cursor::write(&place(last)));
        PageView { items: read.into_iter().map(view).collect(), next_cursor }
    }
}
