//! `keyauth keys import`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use axum::http::StatusCode;
use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::Api;
use crate::shown::{Form, lines_bar};
use crate::told::{Failure, note};

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
    pub(super) async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        let unread = |error: io::Error| {
            Failure::other(&format!("{} cannot be read", self.file.display()), &error)
        };
        let (lines, count): (Box<dyn BufRead>, _) = match self.file.to_str() {
            Some("-") => (Box::new(BufReader::new(io::stdin())), 0),
            _ => {
                let open = || File::open(&self.file).map(BufReader::new).map_err(unread);
                let mut count = 0;
                for line in open()?.split(b'\n') {
                    line.map_err(unread)?;
                    count += 1;
                }
                (Box::new(open()?), count)
            }
        };
        let bar = lines_bar(count);
        let lines = lines.split(b'\n').zip(1_u64..);
        let lines = lines.filter(|(line, _)| !line.as_ref().is_ok_and(|line| is_empty(line)));
        let done = stream::iter(lines).map(|(line, number)| async move {
            let done = match line {
                Ok(line) => one(api, line.trim_ascii()).await,
                // There may be no end of them.
                Err(error) => Err(Failure::away("it cannot be read", &error)),
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

fn is_empty(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
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
