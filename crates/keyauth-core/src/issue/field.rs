//! The checks that issuing and updating share, one a field.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{InvalidInput, Problem};
use crate::{
    AddressSet, Amount, Budget, BudgetWindow, EndpointRule, EndpointRules, KeyPrefix, Keyring,
    Limit, LimitSubject, LimitWindow, Metadata, PlaintextKey, ResourceRules, Scope, Scopes,
    Timestamp,
};

/// The longest name of a key, in bytes.
const MAX_NAME: usize = 256;
/// The most entries a list of rules may have.
const MAX_RULES: usize = 4_096;
/// The most limits or budgets a key may have.
const MAX_LIMITS: usize = 64;
/// The longest name of a limit or budget, in bytes.
const MAX_LIMIT_NAME: usize = 64;
/// The longest rolling window: beyond it, calendar windows serve.
const MAX_WINDOW: Duration = Duration::from_hours(31 * 24);
/// The most bytes that the texts of one list may have together.
const MAX_TEXT: usize = 256 * 1024;
/// Zones with a summer whose names PostgreSQL reads as abbreviations, which have none: its
/// `pg_timezone_abbrevs`.
const AMBIGUOUS_ZONES: [&str; 4] = ["CET", "EET", "MET", "WET"];
/// The longest budget window in hours: a leap year.
const MAX_HOURS: u32 = 366 * 24;

/// Collects what is wrong, so that one answer names all of it.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    problems: Vec<Problem>,
}

impl Fields {
    /// `value`, if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, InvalidInput> {
        if self.problems.is_empty() { Ok(value) } else { Err(InvalidInput::new(self.problems)) }
    }

    pub(super) fn problem(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(field, message));
    }

    /// The value of a field that was read elsewhere, or its default, and the problem noted.
    pub(super) fn read<T, E: ToString>(&mut self, field: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.problem(field, error.to_string())).ok()
    }

    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if name.is_empty() || name.len() > MAX_NAME {
            self.problem("name", "must have 1 to 256 bytes");
        } else if name.chars().any(char::is_control) {
            self.problem("name", "must not have control characters");
        }
        name.into()
    }

    pub(super) fn scopes(&mut self, scopes: &[String]) -> Scopes {
        self.list("scopes", scopes, |text| Scope::new(text)).into_iter().collect()
    }

    pub(super) fn addresses(&mut self, field: &str, patterns: &[String]) -> AddressSet {
        let nets: Vec<IpNet> = self.list(field, patterns, AddressSet::parse_pattern);
        nets.into_iter().collect()
    }

    pub(super) fn endpoints(&mut self, rules: &[String]) -> EndpointRules {
        self.list("endpoints", rules, EndpointRule::parse).into()
    }

    pub(super) fn resources(&mut self, patterns: &[String]) -> ResourceRules {
        self.list("resources", patterns, ResourceRules::check_pattern);
        ResourceRules::from_stored(patterns.to_vec())
    }

    /// Whether limits and budgets can be set on somebody.
    pub(crate) fn check_terms(
        set_on: LimitSubject,
        limits: &[Limit],
        budgets: &[Budget],
    ) -> Result<(), InvalidInput> {
        let mut fields = Self::default();
        fields.limits(set_on, limits);
        fields.budgets(set_on, budgets);
        fields.finish(())
    }

    pub(super) fn key_limits(&mut self, limits: Vec<Limit>) -> Box<[Limit]> {
        self.limits(LimitSubject::Key, &limits);
        limits.into()
    }

    fn limits(&mut self, set_on: LimitSubject, limits: &[Limit]) {
        // Of one name there may be one for each kind of subject.
        let per = |limit: &Limit| limit.per.unwrap_or(set_on);
        self.names("limits", limits.iter().map(|limit| (per(limit), limit.name.as_str())));
        for (at, limit) in limits.iter().enumerate() {
            let window = match limit.window {
                LimitWindow::Rolling(window) | LimitWindow::Smooth { period: window, .. } => window,
                LimitWindow::Day | LimitWindow::Month | LimitWindow::AtOnce => MAX_WINDOW,
            };
            if window.is_zero() || window > MAX_WINDOW {
                let message = "must be above zero and at most 31 days";
                self.problem(format!("limits[{at}].window"), message);
            }
            self.per(format!("limits[{at}].per"), set_on, limit.per);
        }
    }

    /// Nobody says anything about those he is only a part of.
    fn per(&mut self, field: String, set_on: LimitSubject, per: Option<LimitSubject>) {
        if per.is_some_and(|per| per > set_on) {
            let message = format!("must not be wider than the {} it is set on", set_on.as_str());
            self.problem(field, message);
        }
    }

    pub(super) fn key_budgets(&mut self, budgets: Vec<Budget>) -> Box<[Budget]> {
        self.budgets(LimitSubject::Key, &budgets);
        budgets.into()
    }

    fn budgets(&mut self, set_on: LimitSubject, budgets: &[Budget]) {
        let per = |budget: &Budget| budget.per.unwrap_or(set_on);
        self.names("budgets", budgets.iter().map(|budget| (per(budget), budget.name.as_str())));
        for (at, budget) in budgets.iter().enumerate() {
            if budget.limit < Amount::ZERO {
                self.problem(format!("budgets[{at}].limit"), "must not be negative");
            }
            if let BudgetWindow::Hours(hours) = budget.window
                && !(1..=MAX_HOURS).contains(&hours)
            {
                self.problem(format!("budgets[{at}].window"), "must be 1 to 8784 hours");
            }
            if AMBIGUOUS_ZONES.iter().any(|zone| zone.eq_ignore_ascii_case(budget.zone.name())) {
                let message =
                    "is a fixed offset to some databases; name a place like Europe/Berlin";
                self.problem(format!("budgets[{at}].zone"), message);
            }
            self.per(format!("budgets[{at}].per"), set_on, budget.per);
        }
    }

    pub(super) fn metadata(&mut self, metadata: Metadata) -> Metadata {
        if let Some(problem) = metadata.problem() {
            self.problem("metadata", problem);
        }
        metadata
    }

    pub(super) fn prefix(&mut self, prefix: &KeyPrefix, keyring: &Keyring) {
        if !keyring.has_prefix(prefix) {
            self.problem("prefix", "is none of the keyring's; add it there first");
        }
    }

    pub(super) fn custom_key(&mut self, key: &PlaintextKey, keyring: &Keyring) {
        if !keyring.accepts_custom_keys() {
            self.problem("custom_key", "is not accepted; the keyring must allow custom keys");
        } else if !keyring.accepts_as_custom(key.reveal()) {
            self.problem(
                "custom_key",
                "must be 16 to 128 characters of [A-Za-z0-9_-] that begin with no prefix of ours",
            );
        }
    }

    /// A key must end in the future, and after it began.
    pub(super) fn lifetime(
        &mut self,
        starts_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        if let Some(end) = expires_at {
            if end <= now {
                self.problem("expires_at", "must be in the future");
            } else if starts_at.is_some_and(|start| end <= start) {
                self.problem("expires_at", "must be later than starts_at");
            }
        }
    }

    /// Checks names that are to be unique among those of a kind.
    fn names<'a, K: Eq + Hash>(
        &mut self,
        field: &str,
        names: impl ExactSizeIterator<Item = (K, &'a str)>,
    ) {
        if names.len() > MAX_LIMITS {
            return self.problem(field, format!("must have at most {MAX_LIMITS} entries"));
        }
        let mut seen = HashSet::new();
        for (at, (kind, name)) in names.enumerate() {
            let field = format!("{field}[{at}].name");
            let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
            if name.is_empty() || name.len() > MAX_LIMIT_NAME || !printable {
                self.problem(field, "must be 1 to 64 printable ASCII characters without spaces");
            } else if !seen.insert((kind, name)) {
                self.problem(field, "is used twice");
            }
        }
    }

    fn list<T, E: ToString>(
        &mut self,
        field: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        if texts.len() > MAX_RULES {
            self.problem(field, format!("must have at most {MAX_RULES} entries"));
            return Vec::new();
        }
        if texts.iter().map(String::len).sum::<usize>() > MAX_TEXT {
            self.problem(field, "must have at most 256 KiB of text");
            return Vec::new();
        }
        let mut parsed = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(error) => self.problem(format!("{field}[{at}]"), error.to_string()),
            }
        }
        parsed
    }
}
