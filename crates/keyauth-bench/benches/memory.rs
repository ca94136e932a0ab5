//! What a cached key takes of memory, by all that is given back when the cache goes: what was asked of
//! the allocator, to the byte.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program that prints figures, and fails by panicking"
)]

use comfy_table::Table;
use keyauth_bench::fixture::{Cached, typical};
use keyauth_core::{KeyRecord, NewKey};

/// What a key without any rule takes besides its strings stays below this, in bytes.
const PROMISED: usize = 512;

/// A key without any rule.
fn plain(number: usize) -> NewKey {
    NewKey::named(format!("key {number}"))
}

fn main() {
    // Cargo's tests call benchmarks too, to see that they work; `cargo bench` alone says so.
    let full = std::env::args().any(|argument| argument == "--bench");
    let counts = if full { [100_000, 1_000_000] } else { [10_000, 20_000] };
    let mut table = Table::new();
    table.set_header(["keys", "of", "bytes a key", "of that its strings", "and the rest"]);
    let kinds = [
        ("plain keys", plain as fn(usize) -> NewKey),
        ("keys with two scopes and a limit, and its count", typical),
    ];
    let (nothing, _) = measure(0, plain);
    for count in counts {
        for (kind, new) in kinds {
            let (whole, strings) = measure(count, new);
            let a_key = (whole - nothing - strings) / count;
            assert!(kind != kinds[0].0 || a_key < PROMISED, "{a_key} bytes besides the strings");
            let (whole, strings) = (whole / count, strings / count);
            let row = [count, whole, strings, whole - strings].map(|number| number.to_string());
            let [count, whole, strings, rest] = row;
            table.add_row([count, kind.to_owned(), whole, strings, rest]);
        }
    }
    println!("a record itself has {} bytes", size_of::<KeyRecord>());
    println!("{table}");
}

/// Bytes: all, and those of the strings.
fn measure(count: usize, new: fn(usize) -> NewKey) -> (usize, usize) {
    // All in this thread, which is the one that is counted.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let cached = runtime.block_on(Cached::new(count, new));
    let records = cached.keys.iter().map(|key| runtime.block_on(cached.record(key)));
    let strings: usize = records.map(|record| strings(&record)).sum();
    let Cached { auth, .. } = cached;
    let given_back = allocation_counter::measure(|| {
        drop(auth);
        // It polls, and has the cache for that.
        drop(runtime);
    });
    let whole = usize::try_from(-given_back.bytes_current).expect("more than was taken");
    (whole, strings)
}

/// What the texts of a record take, and the pointers to them: an allocation has two words more where
/// it is shared.
fn strings(record: &KeyRecord) -> usize {
    const POINTER: usize = size_of::<Box<str>>();
    const SHARED: usize = POINTER + 2 * size_of::<usize>();
    let key = &record.key;
    let shared = [&*key.name, key.tenant.as_str(), key.owner.as_str()];
    let scopes = key.scopes.iter().map(|scope| scope.as_str());
    let shared = shared.into_iter().chain(scopes).map(|text| SHARED + text.len());
    let limits = key.limits.iter().chain(record.limits.iter().map(|applied| &applied.limit));
    let limits = limits.map(|limit| size_of::<String>() + limit.name.len());
    shared.chain(limits).sum::<usize>() + POINTER + key.hint.as_str().len()
}
