//! The record of what was used: off the requests' path, and nothing lost.

mod flush;
pub(crate) mod frame;
mod reader;
mod recorder;
mod shipper;
mod spool;
mod tidy;
mod writer;

pub(crate) use recorder::Recorder;
pub use recorder::UsageRecorder;
