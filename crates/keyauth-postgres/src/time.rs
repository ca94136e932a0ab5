//! Times as PostgreSQL has them.

use keyauth_core::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in microseconds of Unix time.
const EPOCH: i64 = 946_684_800_000_000;

/// A `timestamptz`: microseconds since 2000, the ends of the range meaning infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PgTime(pub(crate) Timestamp);

impl Type<Postgres> for PgTime {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Encode<'_, Postgres> for PgTime {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = match self.0 {
            Timestamp::MAX => i64::MAX,
            other => other.as_micros().saturating_sub(EPOCH),
        };
        Encode::<Postgres>::encode_by_ref(&micros, buffer)
    }
}

impl Decode<'_, Postgres> for PgTime {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("a time that is not in binary format".into());
        }
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        let time = match micros {
            i64::MAX => Timestamp::MAX,
            other => Timestamp::from_micros(other.saturating_add(EPOCH)),
        };
        Ok(Self(time))
    }
}

/// For columns that may be null.
pub(crate) fn optional(time: Option<Timestamp>) -> Option<PgTime> {
    time.map(PgTime)
}
