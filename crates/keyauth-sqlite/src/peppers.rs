//! Which peppers secrets are under.

use keyauth_core::{KeyStore, StoreError};
use sqlx::Row;

use crate::SqliteStore;

impl SqliteStore {
    /// Under which peppers the secrets are that may still be presented, and how many: those without
    /// one first, then by number. A pepper that is not among them can be taken away. Reads all
    /// secrets there are.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](keyauth_core::StoreErrorKind::Unavailable) alone.
    pub async fn peppers_in_use(&self) -> Result<Vec<(Option<u16>, u64)>, StoreError> {
        const COUNT: &str = "SELECT s.pepper, count(*) AS secrets \
             FROM secrets AS s JOIN keys AS k ON k.id = s.key_id \
             WHERE k.status <> 'revoked' AND (s.ends_at IS NULL OR s.ends_at > ?1) \
             AND (k.expires_at IS NULL OR k.expires_at > ?1) \
             GROUP BY s.pepper ORDER BY s.pepper NULLS FIRST";
        let now = self.issuer().clock().now().as_micros();
        let rows = sqlx::query(COUNT).bind(now).fetch_all(self.reports()).await;
        let rows = rows.map_err(StoreError::unavailable)?;
        rows.iter()
            .map(|row| {
                let pepper =
                    row.try_get::<Option<i64>, _>("pepper").map_err(StoreError::unavailable)?;
                let pepper = pepper.map(u16::try_from).transpose();
                let secrets = row.try_get::<i64, _>("secrets").map_err(StoreError::unavailable)?;
                let secrets = u64::try_from(secrets).map_err(StoreError::unavailable)?;
                Ok((pepper.map_err(StoreError::unavailable)?, secrets))
            })
            .collect()
    }
}
