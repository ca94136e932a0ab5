//! `keyauth usage`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::Value;
use tempfile::NamedTempFile;

use super::Command;
use super::whose::Whose;
use crate::api::{Api, cut_off};
use crate::shown::{Form, bytes_bar, plain};
use crate::told::{Failure, note, say};

#[derive(Debug, Subcommand)]
pub(crate) enum Usage {
    /// Show sums, of today where nothing else is said.
    Show(Show),
    /// Write single calls, one a line.
    Export(Export),
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    sums: Sums,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    calls: Calls,
    /// A file to write to, which must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Args, Debug, Serialize)]
struct Period {
    /// The first instant or day, like 2026-11-01 [default: the beginning of the last day]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first instant or day that is not part of it [default: the end of today]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Where days begin at midnight, like Europe/Berlin [default: UTC]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
}

#[derive(Args, Debug, Serialize)]
struct Sums {
    /// A line for each
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    every: Option<Every>,
    /// A line for each route or resource, or both with a comma between
    #[arg(long, value_name = "DIMENSIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Of this route alone
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// Of this resource alone
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Every {
    Hour,
    Day,
    Month,
}

#[derive(Args, Debug, Serialize)]
struct Calls {
    /// In which form
    #[arg(long, default_value = "jsonl")]
    format: Format,
}

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Format {
    Jsonl,
    Csv,
}

impl Command for Usage {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        match self {
            Self::Show(show) => show.run(api, form).await,
            Self::Export(export) => export.run(api).await,
        }
    }
}

impl Show {
    async fn run(self, api: &Api, form: Form) -> Result<(), Failure> {
        const SUMS: &[&str] = &["requests", "failures", "cost", "input", "output"];
        let call = api.get("/v1/usage").asking(&self.whose)?.asking(&self.period)?;
        let usage = call.asking(&self.sums)?.value().await?;
        if form.is_json() {
            return form.one(&usage, &[]);
        }
        let text = |name| usage.get(name).and_then(Value::as_str).unwrap_or_default();
        let (from, to) = (plain(text("from")), plain(text("to")));
        say(format!("from {from} to {to}\n\n").as_bytes())?;
        let lines = usage.get("lines").and_then(Value::as_array);
        let mut columns = SUMS.to_vec();
        if let Some(line) = lines.and_then(|lines| lines.first()) {
            let by = ["resource", "route"].into_iter().filter(|name| line.get(name).is_some());
            by.for_each(|name| columns.insert(0, name));
            columns.insert(0, "from");
        }
        if let Some(lines) = lines {
            form.some(lines, &columns, true)?;
            say(b"\n")?;
        }
        form.some(usage.get("total").map_or(&[], std::slice::from_ref), SUMS, true)?;
        match usage.get("budgets").and_then(Value::as_array) {
            Some(budgets) if !budgets.is_empty() => {
                say(b"\n")?;
                let columns = ["name", "limit", "window", "used", "reserved", "remaining", "lost"];
                form.some(budgets, &columns, true)
            }
            _ => Ok(()),
        }
    }
}

impl Export {
    async fn run(self, api: &Api) -> Result<(), Failure> {
        let Some(path) = &self.output else { return self.write(api, None).await };
        let unwritten = |error: &std::io::Error| {
            Failure::other(&format!("{} cannot be written", path.display()), error)
        };
        if path.symlink_metadata().is_ok() {
            return Err(unwritten(&std::io::ErrorKind::AlreadyExists.into()));
        }
        // A part must not be taken for the whole, whoever ends this on the way.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let part = NamedTempFile::with_prefix_in("keyauth-export", folder);
        // What it says of itself is the name of a file that is nobody's.
        let mut part = part.map_err(|error| unwritten(&error.kind().into()))?;
        self.write(api, Some(part.as_file_mut())).await?;
        part.persist_noclobber(path).map(drop).map_err(|error| unwritten(&error.error))
    }

    async fn write(&self, api: &Api, mut file: Option<&mut File>) -> Result<(), Failure> {
        let call = api.get("/v1/usage/calls").asking(&self.whose)?.asking(&self.period)?;
        let (_, mut body) = call.asking(&self.calls)?.stream().await?;
        let bar = bytes_bar(self.output.is_some());
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| cut_off(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len();
            bar.inc(data.len().try_into().unwrap_or_default());
            match &mut file {
                Some(file) => file.write_all(&data).map_err(|error| unwritten(&error))?,
                None => say(&data)?,
            }
        }
        bar.finish_and_clear();
        if let Some(file) = file {
            file.sync_all().map_err(|error| unwritten(&error))?;
            note(&format!("{bytes} bytes written"));
        }
        Ok(())
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    Failure::other("the file cannot be written", error)
}
