//! What all rows are measured with.

use std::time::Duration;

use keyauth_core::{Clock, SystemClock};
use tokio::runtime::{Builder, Runtime};

/// How long it may take, and what it runs on.
#[derive(Debug)]
pub(crate) struct Bench {
    quick: bool,
    clock: SystemClock,
    runtime: Runtime,
}

impl Bench {
    pub(crate) fn new(quick: bool) -> Self {
        // One thread: with more, those that have nothing to do and the servers take each other's core.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { quick, clock: SystemClock::new(), runtime: runtime.expect("a runtime") }
    }

    /// So many, or a few where it is to be quick.
    pub(crate) fn rounds(&self, rounds: usize) -> usize {
        if self.quick { (rounds / 8).max(3) } else { rounds }
    }

    /// Runs work as requests run: in a task, where the thread that waits here would be woken for
    /// each answer.
    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.runtime.block_on(self.runtime.spawn(work)).expect("no panic")
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// How long work takes.
    pub(crate) fn time(&self, work: impl FnOnce()) -> Duration {
        let began = self.clock.uptime();
        work();
        self.clock.uptime() - began
    }

    /// How long one call takes, of so many.
    pub(crate) fn time_each(&self, calls: usize, mut call: impl FnMut(usize)) -> Duration {
        let all = self.time(|| (0..calls).for_each(&mut call));
        all / u32::try_from(calls).expect("a count")
    }
}

/// How long a future takes.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let clock = SystemClock::new();
    let began = clock.uptime();
    let done = work.await;
    (done, clock.uptime() - began)
}

/// How long work of several tasks at once takes, so many calls in all: a call, on average.
pub(crate) async fn at_once<F>(
    tasks: usize,
    calls: usize,
    call: impl Fn(usize) -> F + Clone + Send + 'static,
) -> Duration
where
    F: Future<Output = ()> + Send,
{
    let all = async {
        let mut running = Vec::new();
        for first in 0..tasks {
            let call = call.clone();
            running.push(tokio::spawn(async move {
                for number in (first..calls).step_by(tasks) {
                    call(number).await;
                }
            }));
        }
        for task in running {
            task.await.expect("no panic");
        }
    };
    timed(all).await.1 / u32::try_from(calls).expect("a count")
}

/// The median time of calls one after the other.
pub(crate) async fn one_by_one<F: Future<Output = ()>>(
    calls: usize,
    call: impl Fn(usize) -> F,
) -> Duration {
    let mut times = Vec::with_capacity(calls);
    for number in 0..calls {
        times.push(timed(call(number)).await.1);
    }
    times.sort();
    times[times.len() / 2]
}
