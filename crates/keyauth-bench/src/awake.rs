//! Processors that do not fall asleep.

use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;

/// Spins until whoever started it is gone.
const SPIN: &str = "while kill -0 $PPID 2>/dev/null; do \
    i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done";

/// Keeps all processors awake by work that makes way for any other (`SCHED_IDLE`), as far as the
/// system can.
///
/// Whoever waits for a server's answer waits for a processor to wake up as well, which takes it the
/// longer the longer it has slept, in steps of some tens of microseconds. Where a call takes a
/// hundred, a few of work in between decide on which side of a step all calls are.
#[derive(Debug)]
pub(crate) struct Awake(Vec<Child>);

impl Awake {
    pub(crate) fn start() -> Self {
        let spin = || {
            let mut command = Command::new("chrt");
            command.args(["--idle", "0", "sh", "-c", SPIN]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().ok()
        };
        let processors = available_parallelism().map_or(1, usize::from);
        Self((0..processors).filter_map(|_| spin()).collect())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Whoever is gone already keeps nobody awake.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
