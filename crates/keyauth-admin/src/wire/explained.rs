//! Why a key is let through, or is not.

use std::net::IpAddr;

use keyauth_core::{Explanation, FoundIn, KeyRecord, StationVerdict, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BudgetStateView, KeyView, LimitStateView};

/// What a request brings, besides a key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestFacts)]
pub(crate) struct ExplainBody {
    /// The scopes that are asked for.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Where it comes from.
    #[schema(value_type = Option<String>, example = "192.0.2.1")]
    pub(crate) address: Option<IpAddr>,
    /// What is called.
    pub(crate) method: Option<String>,
    /// Its path.
    pub(crate) path: Option<String>,
    /// The resource it is about.
    pub(crate) resource: Option<String>,
}

/// A key as it was presented, and what the request brings besides.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PresentedRequest)]
pub(crate) struct ExplainKeyBody {
    /// The key.
    pub(crate) key: String,
    /// The rest.
    #[serde(default)]
    pub(crate) request: ExplainBody,
}

/// What becomes of a key and a request, and why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct ExplanationView {
    /// What the key is: `known`; `unknown`, shaped like a key and nobody's; `malformed`, with a
    /// prefix of ours and not the length, the alphabet or the checksum; `foreign`, no key of ours;
    /// `never_presented`, of another system.
    key_is: &'static str,
    /// Where that was found: in the `memory` of the process that answers, or behind it, by a
    /// `lookup`; `null` where it is not known.
    found_in: Option<&'static str>,
    /// The first no of the stations; `null` where all let it through. Limits and budgets are asked
    /// after them.
    code: Option<&'static str>,
    /// What every station says, in their order.
    stations: Vec<StationView>,
    /// The versions that the record was read at.
    versions: Option<VersionsView>,
    /// The key, as it was when it was read.
    key: Option<KeyView>,
    /// How the limits stand that apply to it; empty where nobody enforces them.
    limits: Vec<LimitStateView>,
    /// How the budgets stand that it is charged to.
    budgets: Vec<BudgetStateView>,
}

/// What one station says.
#[derive(Debug, Serialize, ToSchema)]
struct StationView {
    /// Which one.
    station: &'static str,
    /// Why not; `null` where it lets the request through.
    code: Option<&'static str>,
}

/// The versions of a key, and of those it belongs to.
#[derive(Debug, Serialize, ToSchema)]
struct VersionsView {
    everything: u64,
    tenant: u64,
    owner: u64,
    group: u64,
    key: u64,
}

impl ExplanationView {
    fn of_none(key_is: &'static str, code: Option<&'static str>) -> Self {
        Self {
            key_is,
            found_in: None,
            code,
            stations: Vec::new(),
            versions: None,
            key: None,
            limits: Vec::new(),
            budgets: Vec::new(),
        }
    }

    /// Of a key whose secret nobody has presented so far.
    pub(crate) fn never_presented() -> Self {
        Self::of_none("never_presented", None)
    }

    /// Of a key that is nobody's in the tenant of whoever asks. Where that was found would tell that
    /// it is another's.
    pub(crate) fn unknown() -> Self {
        Self::of_none("unknown", Some(keyauth_core::Denial::InvalidKey.code()))
    }

    pub(crate) fn new(explanation: &Explanation, budgets: Vec<BudgetStateView>) -> Self {
        let code = explanation.denial().map(keyauth_core::Denial::code);
        match explanation {
            Explanation::Known(known) => Self {
                key_is: "known",
                found_in: Some(place(known.found_in)),
                code,
                stations: known.stations.iter().map(StationView::new).collect(),
                versions: Some(VersionsView::new(&known.record)),
                key: Some(known.record.key.clone().into()),
                limits: LimitStateView::all(&known.record.limits, &known.limits),
                budgets,
            },
            Explanation::Malformed => Self::of_none("malformed", code),
            Explanation::Unknown { .. } => Self::unknown(),
            _ => Self::of_none("foreign", code),
        }
    }
}

impl StationView {
    fn new(verdict: &StationVerdict) -> Self {
        let code = verdict.denial.map(keyauth_core::Denial::code);
        Self { station: verdict.station.as_str(), code }
    }
}

impl VersionsView {
    fn new(record: &KeyRecord) -> Self {
        let versions = record.versions;
        Self {
            everything: Version::get(versions.everything),
            tenant: versions.tenant.get(),
            owner: versions.owner.get(),
            group: versions.group.get(),
            key: versions.key.get(),
        }
    }
}

const fn place(found_in: FoundIn) -> &'static str {
    match found_in {
        FoundIn::Memory => "memory",
        _ => "lookup",
    }
}
