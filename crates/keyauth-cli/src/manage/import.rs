//! `keyauth keys import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use axum::http::StatusCode;
use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::shown::lines_bar;
use crate::told::{Failure, note, say};

/// How many are under way at once.
const AT_ONCE: usize = 8;

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

impl Import {
    pub(super) async fn run(self, api: &Api) -> Result<(), Failure> {
        let unread = |error: io::Error| {
            Failure::other(&format!("{} cannot be read", self.file.display()), &error)
        };
        let (lines, count): (Box<dyn BufRead>, _) = match self.file.to_str() {
            Some("-") => (Box::new(BufReader::new(io::stdin())), None),
            _ => {
                let count = BufReader::new(File::open(&self.file).map_err(unread)?).split(b'\n');
                let count = count.count().try_into().ok();
                (Box::new(BufReader::new(File::open(&self.file).map_err(unread)?)), count)
            }
        };
        let bar = lines_bar(count.unwrap_or_default());
        let lines = lines.lines().zip(1_u64..);
        let lines = lines.filter(|(line, _)| !matches!(line, Ok(line) if line.trim().is_empty()));
        let done = stream::iter(lines).map(|(line, number)| async move {
            let done = match line {
                Ok(line) => one(api, line.trim()).await,
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
                    return Err(failure.at(&format!(
                        "line {number}, after {} were imported; run it again with the same file to go on",
                        counts.imported + counts.before
                    )));
                }
            }
        }
        bar.finish_and_clear();
        counts.tell()
    }
}

async fn one(api: &Api, line: &str) -> Result<StatusCode, Failure> {
    let body = serde_json::from_str::<Value>(line);
    // What is wrong is told without the line, which may have a hash in it.
    let body =
        body.map_err(|error| Failure::usage(format!("no JSON at column {}", error.column())))?;
    let name = format!("import-{}", hex::encode(Sha256::digest(line.as_bytes())));
    let call = api.post("/v1/keys/import").named(Some(name)).body(&body)?;
    Ok(call.answer().await?.0)
}

impl Counts {
    fn tell(&self) -> Result<(), Failure> {
        let Self { imported, before, refused } = self;
        let told =
            format!("{imported} imported, {before} were there from before, {refused} refused");
        if *refused > 0 {
            return Err(Failure::failed(told));
        }
        say(format!("{told}\n").as_bytes())
    }
}
