//! `keyauth keys import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::PathBuf;

use axum::http::StatusCode;
use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::api::Api;
use crate::shown::{Form, lines_bar};
use crate::told::{Failure, note};

/// How many are under way at once.
const AT_ONCE: usize = 8;
/// What a line holds at most, as a body does.
const LONGEST: u64 = 2 * 1_024 * 1_024;

/// A line is what `POST /v1/keys/import` takes: {"key": {"name": "ci", "owner": "acme"}, "hash":
/// "$2b$..", "begins_with": "old_1a2b"}. The same line is imported once: after a failure, run it
/// again with the same file within a day.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file; - is standard input
    file: PathBuf,
}

/// What has become of lines.
#[derive(Default)]
struct Counts {
    imported: u64,
    before: u64,
    refused: u64,
}

/// A line with its number.
type Line = (io::Result<Vec<u8>>, u64);

/// How many lines a file has. What can be read once alone, like a pipe, is not counted.
fn count(file: &mut File) -> io::Result<u64> {
    if !file.metadata()?.is_file() {
        return Ok(0);
    }
    let mut lines = 0;
    for line in BufReader::new(&mut *file).split(b'\n') {
        line?;
        lines += 1;
    }
    file.rewind()?;
    Ok(lines)
}

/// Reads lines beside those that are under way, up to the end or the first that cannot be read.
fn read(source: impl Read + Send + 'static) -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(AT_ONCE);
    std::thread::spawn(move || {
        let mut source = BufReader::new(source);
        for number in 1.. {
            let mut line = Vec::new();
            let read = source.by_ref().take(LONGEST + 1).read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(read) if u64::try_from(read).is_ok_and(|read| read > LONGEST) => {
                    Err(io::Error::other("it is longer than 2 MiB"))
                }
                Ok(_) => Ok(line),
                Err(error) => Err(error),
            };
            let is_last = line.is_err();
            if sender.blocking_send((line, number)).is_err() || is_last {
                return;
            }
        }
    });
    lines
}

impl Import {
    pub(super) async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let unread = |error: io::Error| {
            Failure::other(&format!("{} cannot be read", self.file.display()), &error)
        };
        let (mut lines, bar) = match self.file.to_str() {
            Some("-") => (read(io::stdin()), lines_bar(0)),
            _ => {
                let mut file = File::open(&self.file).map_err(unread)?;
                let bar = lines_bar(count(&mut file).map_err(unread)?);
                (read(file), bar)
            }
        };
        let lines = stream::poll_fn(move |context| lines.poll_recv(context));
        let lines = lines.filter(|(line, _)| {
            std::future::ready(!line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()))
        });
        let done = lines.map(|(line, number)| async move {
            let done = match line {
                Ok(line) => one(api, line.trim_ascii()).await,
                Err(error) => Err(Failure::other("it cannot be read", &error)),
            };
            (done, number)
        });
        let mut done = std::pin::pin!(done.buffered(AT_ONCE));
        let mut counts = Counts::default();
        while let Some((done, number)) = done.next().await {
            bar.inc(1);
            match done {
                Ok(StatusCode::CREATED) => counts.imported += 1,
                Ok(_) => counts.before += 1,
                Err(failure) if failure.is_no() => {
                    counts.refused += 1;
                    bar.suspend(|| note(&format!("line {number}: {failure}")));
                }
                Err(failure) => {
                    bar.abandon();
                    counts.tell(form)?;
                    return Err(failure
                        .at(&format!("line {number}: run it again with the same file to go on")));
                }
            }
        }
        bar.finish_and_clear();
        counts.tell(form)?;
        match counts.refused {
            0 => Ok(()),
            1 => Err(Failure::failed("one line was refused")),
            refused => Err(Failure::failed(format!("{refused} lines were refused"))),
        }
    }
}

async fn one(api: &Api, line: &[u8]) -> Result<StatusCode, Failure> {
    let body = serde_json::from_slice::<Value>(line);
    // What is wrong is told without the line, which may have a hash in it.
    let body =
        body.map_err(|error| Failure::usage(format!("no JSON at column {}", error.column())))?;
    let name = format!("import-{}", hex::encode(Sha256::digest(line)));
    let call = api.post("/v1/keys/import").named(Some(name)).body(&body)?;
    Ok(call.answer().await?.0)
}

impl Counts {
    fn tell(&self, form: Form) -> Result<(), Failure> {
        let Self { imported, before, refused } = self;
        let first = ["imported", "before", "refused"];
        form.one(&json!({"imported": imported, "before": before, "refused": refused}), &first)
    }
}
