//! What was taken ahead, under many interleavings.

use std::time::Duration;

use keyauth_core::{LeasedFrom, SharedLease, Timestamp};
use keyauth_testkit::conformance::limiter::limited_key;
use shuttle::thread;

use super::*;
use crate::interleavings::check;

/// What was granted is used by one call or given back, also while a count begins anew; and where one
/// limit of a call has nothing left, none has anything used.
#[test]
fn what_is_granted_is_used_once_or_given_back() {
    check(|| {
        let leases = Arc::new(Leases::new());
        leases.kept.store(true, Ordering::Relaxed);
        let limits = [(4, Limit::per_hour(1_000).named("more")), (3, Limit::per_day(1_000))];
        let limited = Arc::new(limited_key(limits.clone().map(|(_, limit)| limit)));
        // Enough, also where a term ends between them.
        (0..20).for_each(|_| leases.note(&limited, 1, 1));
        let name = leases.subjects.pin().keys().next().expect("it is noted").clone();
        let now = leases.now();
        let asked = leases.asking(&name, |stock| stock.questions(now, 1));
        assert_eq!(asked.len(), limits.len());
        for ((granted, limit), asking) in limits.iter().zip(asked) {
            let lease = SharedLease {
                granted: *granted,
                good_for: Duration::from_secs(5),
                from: LeasedFrom { period: 1, begun: Timestamp::from_micros(0) },
                remaining: 900,
                resets_after: Duration::ZERO,
            };
            let mut stocks = asking.stocks.lock().expect("it is there");
            let stock = stocks.find(limit, 0).expect("its own");
            stock.answered(asking.question.wanted, now, asking.resets, &lease);
        }
        let passed = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for _ in 0..3 {
            let (leases, limited) = (Arc::clone(&leases), Arc::clone(&limited));
            let passed = Arc::clone(&passed);
            threads.push(thread::spawn(move || {
                for _ in 0..2 {
                    let call = LimitedCall { limited: &limited, cost: 1, report: false };
                    if matches!(leases.try_acquire(&call, 1), TryAcquire::Decided(_)) {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }));
        }
        let (kept, reset) = (Arc::clone(&leases), name.clone());
        threads.push(thread::spawn(move || kept.reset(&reset)));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let passed = passed.load(Ordering::SeqCst);
        assert!(passed <= 3, "no more than the tightest has");
        let left = leases.all_that_is_left();
        for (granted, limit) in &limits {
            let of_it = left.iter().filter(|asking| asking.question.limit == *limit);
            let unused = of_it.filter_map(|asking| asking.question.unused);
            assert_eq!(passed + unused.map(|unused| unused.amount).sum::<u64>(), *granted);
        }
    });
}
