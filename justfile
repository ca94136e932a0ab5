# What there is to do. Nothing here needs `just`: each line is a command to type.

# Lists what there is.
default:
    @just --list

# Formats, lints and documents as CI does, without running tests.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps

# Runs every test, seeing to the servers they need.
test *arguments:
    tests/run {{arguments}}

# Builds the documentation and opens it.
doc:
    cargo doc --workspace --all-features --no-deps --open

# Measures everything beside the same written by hand, with a bound on each; with `--quick` in a
# minute. `--only NAME` and `--help` say more.
bench *arguments:
    cargo run --release -p keyauth-bench -- {{arguments}}

# Makes up to ten million keys for one row of it, which takes long, and keeps them.
bench-data:
    cargo run --release -p keyauth-bench -- --make-data

# Measures how figures grow, and draws the plots of docs/performance.md.
growth:
    cargo run --release -p keyauth-bench -- --growth docs/performance

# Counts the instructions of a request, with valgrind, against a bound on each.
instructions:
    cargo bench -p keyauth-tower --bench instructions

# Prints what a cached key takes of memory.
memory:
    cargo bench -p keyauth-bench --bench memory

# Prints the figures of the cache and its feed at full size; a few minutes.
figures:
    KEYAUTH_REVOKES=1000 cargo test -p keyauth-tests --test fleet propagation -- --nocapture
    KEYAUTH_FLOOD=1000000 cargo test --release -p keyauth-cache --test flood -- --nocapture
    KEYAUTH_KEYS=10000,1000000 cargo test -p keyauth-postgres --lib plans -- --nocapture
    KEYAUTH_IMPORTS=10000 cargo test -p keyauth-tests --test it -- imports --nocapture
    cargo test -p keyauth-cache --test model -- --nocapture
    cargo test -p keyauth-tests --test fleet limits -- --nocapture
    cargo test -p keyauth-tests --test spending -- --nocapture
    KEYAUTH_COLD=1000 cargo test -p keyauth-redis --all-features --test it cold_fleet -- --nocapture

# Breaks PostgreSQL, Redis, wires and processes under a fleet, and checks what it promises; half an
# hour at least. F7 and F8 need libfaketime; `just faults soak` is an hour of its own.
faults *scenarios:
    cargo test --release -p keyauth-tests --test faults -- --all {{scenarios}}

# Looks at what is depended on, with cargo-deny.
deny:
    cargo deny check
