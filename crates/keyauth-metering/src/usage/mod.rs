//! The record of what was used: off the requests' path, and nothing lost.

mod frame;
mod recorder;
mod shipper;
mod spool;
mod writer;

pub(crate) use recorder::Recorder;
pub use recorder::UsageRecorder;
