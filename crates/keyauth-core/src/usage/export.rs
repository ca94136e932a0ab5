//! Reading all calls.

use crate::{LimitedSubject, Period, StoreError, Timestamp, UsageEvent, UsageReader};

/// Reads the calls of a period page by page, each once, however many they are.
///
/// Nothing is held between pages. So calls that are recorded meanwhile are in it or not; all that were
/// [written](UsageReader::flush) when the first was read are.
#[derive(Clone, Debug)]
pub struct UsageExport {
    of: LimitedSubject,
    rest: Period,
}

impl UsageExport {
    /// How many calls a page has, and with them all of the last one's microsecond.
    const PAGE: u32 = 1_000;

    /// All calls of somebody that began in a period.
    #[must_use]
    pub const fn new(of: LimitedSubject, period: Period) -> Self {
        Self { of, rest: period }
    }

    /// Whether the last page was read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.rest.start >= self.rest.end
    }

    /// The next page; empty after the last. After an error it can be asked for again.
    ///
    /// # Errors
    ///
    /// Those of [`UsageReader::calls`].
    pub async fn next_page(
        &mut self,
        reader: &impl UsageReader,
    ) -> Result<Vec<UsageEvent>, StoreError> {
        let page = reader.calls(&self.of, self.rest, Self::PAGE).await?;
        let is_full = page.len() >= usize::try_from(Self::PAGE).unwrap_or(usize::MAX);
        self.rest.start = match page.last().filter(|_| is_full) {
            Some(last) => Timestamp::from_micros(last.at.as_micros().saturating_add(1)),
            None => self.rest.end,
        };
        Ok(page)
    }
}
