//! What keyauth logs, to be searched for what must and must not be there.

use std::io;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

static LOG: LazyLock<Lines> = LazyLock::new(Lines::default);

/// Begins to keep all that keyauth logs in this process; once is enough.
pub(crate) fn keep() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::FULL)
            .with_writer(LOG.clone());
        let ours = filter_fn(|metadata| metadata.target().starts_with("keyauth"));
        tracing_subscriber::registry().with(layer).with(ours).init();
    });
}

/// All that was logged in this process.
pub(crate) fn text() -> String {
    LOG.text()
}

/// The first line logged in this process that somebody has broken, or has broken off another.
pub(crate) fn broken_line() -> Option<String> {
    LOG.text().split_terminator('\n').find(|line| !is_whole(line)).map(ToOwned::to_owned)
}

/// Whether a line begins with its time, and has nothing in it that ends lines or moves cursors.
fn is_whole(line: &str) -> bool {
    const TIME: &str = "2026-06-03T12:00:00.000000Z";
    let time = line.split(' ').next().unwrap_or_default();
    let breaks = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
    time.len() == TIME.len() && time.ends_with('Z') && !line.contains(breaks)
}

/// What keyauth logs while a future runs on this thread, and nobody else's.
///
/// # Panics
///
/// Where there is no runtime to be had.
pub fn logged_by(future: impl Future<Output = ()>) -> String {
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    tracing::subscriber::with_default(subscriber, || runtime.block_on(future));
    lines.text()
}

/// Where lines are kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
