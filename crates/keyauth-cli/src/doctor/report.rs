//! What was found, said as it is found.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::shown::{Form, plain};
use crate::told::{Failure, say};

/// How long one thing may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How far clocks may be apart before it is said: what ends a key and begins a window is read off
/// them.
const APART: Duration = Duration::from_secs(1);

pub(super) struct Report {
    form: Form,
    bad: usize,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warning,
    Bad,
}

#[derive(Serialize)]
struct Finding<'a> {
    verdict: Verdict,
    what: &'a str,
    found: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

impl Report {
    pub(super) const fn new(form: Form) -> Self {
        Self { form, bad: 0 }
    }

    pub(super) fn fine(&self, what: &str, found: &str) -> Result<(), Failure> {
        self.tell(Verdict::Ok, what, found, None)
    }

    /// Something that works, and that somebody should know of.
    pub(super) fn warn(&self, what: &str, found: &str, advice: &str) -> Result<(), Failure> {
        self.tell(Verdict::Warning, what, found, Some(advice))
    }

    /// Something that does not work.
    pub(super) fn bad(&mut self, what: &str, found: &str, advice: &str) -> Result<(), Failure> {
        self.bad += 1;
        self.tell(Verdict::Bad, what, found, Some(advice))
    }

    /// How far another clock is ahead of ours, or behind it.
    pub(super) fn clock(&self, whose: &str, ahead: f64) -> Result<(), Failure> {
        let what = format!("clock of {whose}");
        let apart = ahead.abs();
        let found = match apart < 0.001 {
            true => "as here".to_owned(),
            false => {
                let side = if ahead > 0.0 { "ahead of" } else { "behind" };
                format!("{apart:.3} s {side} the one here")
            }
        };
        if apart < APART.as_secs_f64() {
            return self.fine(&what, &found);
        }
        self.warn(
            &what,
            &found,
            "run a time service on both machines: keys begin and end by clocks",
        )
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        match self.bad {
            0 => self.form.sentence("nothing is wrong"),
            1 => Err(Failure::failed("one thing is wrong")),
            bad => Err(Failure::failed(format!("{bad} things are wrong"))),
        }
    }

    fn tell(
        &self,
        verdict: Verdict,
        what: &str,
        found: &str,
        advice: Option<&str>,
    ) -> Result<(), Failure> {
        let finding = Finding { verdict, what, found, advice };
        if self.form.is_json() {
            let line = serde_json::to_string(&finding);
            let line = line.map_err(|error| Failure::other("nothing can be told", &error))?;
            return say(format!("{line}\n").as_bytes());
        }
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Bad => "bad",
        };
        say(format!("{word:8} {what}: {}\n", plain(found)).as_bytes())?;
        advice.map_or(Ok(()), |advice| say(format!("         {advice}\n").as_bytes()))
    }
}

/// What something says within the deadline, or why it does not.
pub(super) async fn ask<T, E: Display>(
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(DEADLINE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {DEADLINE:?}")),
    }
}
