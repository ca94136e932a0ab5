//! Several processes under one limit, which Redis counts (L1).

use std::process::Stdio;
use std::time::Duration;

use keyauth_testkit::RedisServers;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const PROCESSES: usize = 4;
const WINDOW: i64 = 1_000_000;

/// How many calls all processes make together; `KEYAUTH_CALLS=10000` for figures.
fn calls() -> usize {
    std::env::var("KEYAUTH_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

/// Starts the processes, which wait for their sign.
fn start(url: &str, name: &str, limit: u64) -> Vec<Child> {
    let (limit, calls) = (limit.to_string(), (calls() / PROCESSES).to_string());
    let start = |_| {
        Command::new(env!("CARGO_BIN_EXE_limited"))
            .args([url, name, &limit, &calls])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts")
    };
    (0..PROCESSES).map(start).collect()
}

/// Has them all begin, lets something happen to them, and gives the times of all that passed.
async fn run(mut processes: Vec<Child>, meanwhile: impl AsyncFnOnce(&mut [Child])) -> Vec<i64> {
    let mut outputs = Vec::new();
    for process in &mut processes {
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        assert_eq!(lines.next_line().await.expect("a line").as_deref(), Some("ready"));
        outputs.push(lines);
    }
    let mut inputs = Vec::new();
    for process in &mut processes {
        let mut input = process.stdin.take().expect("its input");
        input.write_all(b"go\n").await.expect("told");
        inputs.push(input);
    }
    let reading = outputs.into_iter().map(|mut lines| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                times.extend(line.parse::<i64>());
            }
            times
        })
    });
    let reading: Vec<_> = reading.collect();
    meanwhile(&mut processes).await;
    let mut times = Vec::new();
    for read in reading {
        times.extend(read.await.expect("no panic"));
    }
    times.sort_unstable();
    times
}

/// The most in any window.
fn most_in_any(times: &[i64]) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while times[first] + WINDOW <= *at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Prints the figures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn four_processes_stay_below_one_limit_in_every_window() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    for limit in [100, 1_000, 5_000] {
        let name = format!("plain {limit}");
        let times = run(start(&url, &name, limit), async |_| {}).await;
        let (most, limit) = (most_in_any(&times), usize::try_from(limit).expect("a count"));
        println!(
            "{} calls by {PROCESSES} processes, {limit} a second: {} passed, at most {most} in \
             any second",
            calls(),
            times.len()
        );
        assert!(most <= limit && times.len() >= limit.min(calls()), "{most} of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "figures are for people")]
async fn what_a_kill_and_a_flush_let_through_is_bounded() {
    let servers = RedisServers::start().await;
    let url = servers.urls().remove(0);
    let soon = Duration::from_millis(100);
    let limit = 200;
    let killed = run(start(&url, "killed", limit), async |processes| {
        tokio::time::sleep(soon).await;
        processes[0].kill().await.expect("killed");
    });
    let flushed = async {
        run(start(&url, "flushed", limit), async |_| {
            tokio::time::sleep(soon).await;
            assert_eq!(servers.ask(0, &["FLUSHALL"]), "OK");
        })
        .await
    };
    let limit = usize::try_from(limit).expect("a count");
    for (what, times, bound) in [
        ("a process is killed", killed.await, limit),
        ("Redis is flushed", flushed.await, 2 * limit),
    ] {
        let most = most_in_any(&times);
        let above = most.saturating_sub(limit);
        println!("{what}: {above} above {limit} in a second, the bound is {}", bound - limit);
        assert!(most <= bound, "{what}: {most}");
    }
}
