//! Everything keyauth logs, at the finest level, to be searched for what must not be there.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;

static LOG: Mutex<String> = Mutex::new(String::new());

/// Begins to keep the log of this process; once is enough.
pub(crate) fn keep() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::FULL)
            .with_writer(Writer);
        let ours = tracing_subscriber::filter::filter_fn(|metadata| {
            metadata.target().starts_with("keyauth")
        });
        let subscriber = tracing_subscriber::registry().with(layer).with(ours);
        tracing_subscriber::util::SubscriberInitExt::init(subscriber);
    });
}

/// Whether a text was logged.
pub(crate) fn contains(text: &str) -> bool {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).contains(text)
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Writer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}
