//! How far long work is: on standard error, where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Of so many lines.
pub(crate) fn lines_bar(lines: u64) -> ProgressBar {
    styled(
        ProgressBar::with_draw_target(Some(lines), ProgressDrawTarget::stderr()),
        "{bar:40} {human_pos}/{human_len} {per_sec}, {eta} left {msg}",
    )
}

/// Of bytes whose number nobody knows. Nothing is drawn among what is printed itself.
pub(crate) fn bytes_bar(is_in_file: bool) -> ProgressBar {
    let target = match !is_in_file && std::io::stdout().is_terminal() {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.enable_steady_tick(Duration::from_millis(100));
    styled(bar, "{spinner} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}")
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // One that is wrong would show as the usual bar.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
