//! A flood of keys that nobody has issued, which pushes out none that are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keyauth_core::{Issuer, NewKey};
use keyauth_tests::history::Outcome;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fleet::Fleet;
use crate::report::Report;

const HOT: usize = 200;
const FLOODERS: usize = 32;

/// So many random keys, while hot ones are asked for.
pub(crate) async fn pushes_nothing_out(report: &mut Report, fleet: &Fleet, flood: usize) {
    let api = fleet.api();
    let mut hot = Vec::new();
    for _ in 0..HOT {
        let key = api.issue(0, &json!({"name": "hot"})).await.expect("a key");
        assert!(api.admits(0, &key.secret).await, "asked for once");
        hot.push(key.secret);
    }
    let hits = async || api.metric(0, "keyauth_cache_hits_total", "\"process\"").await;
    let (before, sent) = (hits().await, Arc::new(AtomicUsize::new(0)));
    let admitted = Arc::new(AtomicUsize::new(0));
    let mut flooders = JoinSet::new();
    for _ in 0..FLOODERS {
        let (api, sent, admitted) = (api.clone(), Arc::clone(&sent), Arc::clone(&admitted));
        flooders.spawn(async move {
            let issuer = Issuer::new();
            while sent.fetch_add(1, Ordering::Relaxed) < flood {
                let draft = issuer.draft(NewKey::named("random")).expect("a key");
                if api.admits(0, draft.into_issued().reveal()).await {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let (mut asked, mut not) = (0_usize, 0);
    while sent.load(Ordering::Relaxed) < flood {
        let outcome = api.auth(0, &hot[asked % HOT]).await;
        not += usize::from(outcome != Outcome::Admitted);
        asked += 1;
        sleep(Duration::from_millis(2)).await;
    }
    while let Some(ended) = flooders.join_next().await {
        ended.expect("no panic");
    }
    let hits = hits().await - before;
    let rate = hits / f64::from(u32::try_from(asked).unwrap_or(u32::MAX)) * 100.0;
    let figure =
        format!("{rate:.2} % of {asked}, during {flood} random ones; {not} not let through");
    let promise = "hit rate of hot keys during a flood of random ones";
    report.row(promise, figure, "99.9 % at least", rate >= 99.9 && not == 0);
    let admitted = admitted.load(Ordering::Relaxed);
    report.totals.unknown_admitted += admitted;
    report.never("random keys let through", admitted, flood);
}
