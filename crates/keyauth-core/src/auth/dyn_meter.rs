//! The object-safe twin of [`Meter`].

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use crate::{
    Background, LedgerError, Meter, MeteredCharge, ReserveDecision, TryReserve, UsageEvent,
};

pub(crate) type ReserveFuture =
    Pin<Box<dyn Future<Output = Result<ReserveDecision, LedgerError>> + Send>>;

/// [`Meter`] behind a pointer, so that no type parameter reaches the user's types.
pub(crate) trait DynMeter: Debug + Send + Sync {
    fn try_reserve(&self, charge: &MeteredCharge) -> TryReserve;

    fn reserve(self: Arc<Self>, charge: MeteredCharge) -> ReserveFuture;

    fn book(&self, charge: MeteredCharge);

    fn is_recording(&self) -> bool;

    fn record(&self, event: UsageEvent);

    fn start(&self) -> Background;
}

impl<M: Meter + 'static> DynMeter for M {
    fn try_reserve(&self, charge: &MeteredCharge) -> TryReserve {
        Meter::try_reserve(self, charge)
    }

    fn reserve(self: Arc<Self>, charge: MeteredCharge) -> ReserveFuture {
        Box::pin(async move { Meter::reserve(&*self, charge).await })
    }

    fn book(&self, charge: MeteredCharge) {
        Meter::book(self, charge);
    }

    fn is_recording(&self) -> bool {
        Meter::is_recording(self)
    }

    fn record(&self, event: UsageEvent) {
        Meter::record(self, event);
    }

    fn start(&self) -> Background {
        Meter::start(self)
    }
}
