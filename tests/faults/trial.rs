//! Load on a fleet while something goes wrong, and what came of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use keyauth_core::{Issuer, NewKey};
use keyauth_tests::history::{Asked, Bounds, Changed, History, Key, Outcome, Violation};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::{Api, Issued, NotDone};
use crate::fleet::Fleet;
use crate::report::{Report, say};

/// Who asks, all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) askers: usize,
    /// How long each waits between two requests.
    pub(crate) pause: Duration,
}

/// A thousand requests in a second at the most.
const MODEST: Load = Load { askers: 16, pause: Duration::from_millis(15) };
/// Keys that stay as they are, and texts that are no keys.
const STEADY: usize = 20;
const UNKNOWN: usize = 5;
/// Less than that let through, or refused, shows nothing.
const LEAST: usize = 50;
/// How many of those that were changed are asked for at once, the latest.
const CHANGED: usize = 30;
/// Who issues keys and revokes them.
const CHANGERS: usize = 3;

/// What a fleet keeps, where nothing says otherwise.
pub(crate) const USUAL: Bounds =
    Bounds { staleness: Duration::from_secs(5), arrival: Duration::from_secs(2), behind: None };

/// What is asked and changed while it lasts.
pub(crate) struct Trial {
    world: Arc<World>,
    tasks: JoinSet<History>,
}

struct World {
    api: Api,
    /// What is good all the time, to be read by number.
    steady: Vec<Issued>,
    changed: RwLock<VecDeque<(Key, String)>>,
    /// Those that are asked for no more but at the end.
    old: Mutex<Vec<(Key, String)>>,
    /// Those that whoever runs the trial has issued, and revokes when it suits.
    watched: RwLock<Vec<(Key, Issued)>>,
    by_hand: Mutex<Vec<Changed>>,
    unknown: Vec<String>,
    next: AtomicUsize,
    began: Instant,
    is_over: AtomicBool,
    is_paused: AtomicBool,
    /// Nothing is changed meanwhile, and all is asked.
    is_held: AtomicBool,
    /// How many changes came to nothing, as far as anybody knows.
    undone: AtomicUsize,
    /// Through which instances changes are made.
    changers: Vec<usize>,
    /// How long a revoke waits, in seconds.
    wait: u8,
}

/// What a trial has come to.
pub(crate) struct Outcomes {
    pub(crate) history: History,
    pub(crate) steady: Vec<Issued>,
    /// How many changes came to nothing, as far as anybody knows.
    pub(crate) undone: usize,
    /// Whether anything was changed.
    changes: bool,
}

impl Trial {
    /// Begins one in which changes are made through all instances.
    pub(crate) async fn begin(fleet: &Fleet) -> Self {
        let all = (0..fleet.instances.len()).collect();
        Self::begin_changing(fleet, all, 5).await
    }

    /// Begins one in which changes are made through some, and revokes wait so many seconds for all
    /// to know.
    pub(crate) async fn begin_changing(fleet: &Fleet, changers: Vec<usize>, wait: u8) -> Self {
        Self::begin_under(fleet, MODEST, changers, wait).await
    }

    /// The same under another load.
    pub(crate) async fn begin_under(
        fleet: &Fleet,
        load: Load,
        changers: Vec<usize>,
        wait: u8,
    ) -> Self {
        let api = fleet.api();
        let through = changers.first().copied().unwrap_or_default();
        let mut steady = Vec::new();
        for number in 0..STEADY {
            // Half of them have a limit that is leased from Redis, and that is far away.
            let limit = json!({"name": "far", "count": 1_000_000, "window": "1m"});
            let limits = if number % 2 == 0 { vec![] } else { vec![limit] };
            let body = json!({"name": "steady", "limits": limits});
            let issued = api.issue(through, &body).await;
            steady.push(issued.expect("a key, before anything goes wrong"));
        }
        for key in &steady {
            for instance in 0..api.instances() {
                while !api.admits(instance, &key.secret).await {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        let unknown = (0..UNKNOWN).map(|_| unknown_key());
        let world = Arc::new(World {
            api,
            steady,
            changed: RwLock::default(),
            old: Mutex::default(),
            watched: RwLock::default(),
            by_hand: Mutex::default(),
            unknown: unknown.collect(),
            next: AtomicUsize::new(STEADY + UNKNOWN),
            began: Instant::now(),
            is_over: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            undone: AtomicUsize::new(0),
            changers,
            wait,
        });
        let mut tasks = JoinSet::new();
        for asker in 0..load.askers {
            tasks.spawn(ask(Arc::clone(&world), asker, load));
        }
        let changers = if world.changers.is_empty() { 0 } else { CHANGERS };
        for changer in 0..changers {
            tasks.spawn(change(Arc::clone(&world), changer));
        }
        Self { world, tasks }
    }

    /// Has nobody ask or change anything for a while.
    pub(crate) fn pause(&self, paused: bool) {
        self.world.is_paused.store(paused, Ordering::Relaxed);
    }

    /// Has nobody change anything for a while, and waits until what is under way has come to its end.
    pub(crate) async fn hold_changes(&self, held: bool) {
        self.world.is_held.store(held, Ordering::Relaxed);
        // As long as a revoke waits, and a little.
        let wait = Duration::from_secs(u64::from(self.world.wait) + 2);
        sleep(if held { wait } else { Duration::ZERO }).await;
    }

    /// Issues keys that all instances let through, and that are asked for from now on.
    pub(crate) async fn watch(&self, through: usize, keys: usize) -> Vec<Key> {
        let World { api, watched, .. } = &*self.world;
        let mut numbers = Vec::new();
        for _ in 0..keys {
            let start = self.world.now();
            let issued = api.issue(through, &json!({"name": "watched"})).await.expect("a key");
            let key = self.world.next.fetch_add(1, Ordering::Relaxed);
            let acknowledged = Some(self.world.now());
            let change = Changed {
                key,
                instance: through,
                good: true,
                start,
                acknowledged,
                complete: false,
            };
            self.note(change);
            for instance in 0..api.instances() {
                while !api.admits(instance, &issued.secret).await {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            watched.write().unwrap_or_else(PoisonError::into_inner).push((key, issued));
            numbers.push(key);
        }
        numbers
    }

    /// Revokes one of them, without waiting for anybody to hear.
    pub(crate) async fn revoke_watched(&self, through: usize, key: Key) {
        let id = {
            let watched = self.world.watched.read().unwrap_or_else(PoisonError::into_inner);
            let found = watched.iter().find(|(number, _)| *number == key);
            found.expect("it is watched").1.id.clone()
        };
        let start = self.world.now();
        let path = format!("/v1/keys/{id}/revoke");
        let revoked = self.world.api.post(through, &path, &json!({})).await;
        let acknowledged = revoked.is_ok().then(|| self.world.now());
        let change =
            Changed { key, instance: through, good: false, start, acknowledged, complete: false };
        self.note(change);
    }

    fn note(&self, change: Changed) {
        self.world.by_hand.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Since when the moments of its history count.
    pub(crate) fn began(&self) -> Instant {
        self.world.began
    }

    /// Ends it, and tells what was asked and changed.
    pub(crate) async fn end(mut self) -> Outcomes {
        self.world.is_over.store(true, Ordering::Relaxed);
        let mut history = History::default();
        while let Some(part) = self.tasks.join_next().await {
            history.extend(part.expect("no panic"));
        }
        history.extend(ask_for_all(&self.world).await);
        let good = |key| Changed {
            key,
            instance: 0,
            good: true,
            start: Duration::ZERO,
            acknowledged: Some(Duration::ZERO),
            complete: true,
        };
        history.changed.extend((0..STEADY).map(good));
        let by_hand =
            std::mem::take(&mut *self.world.by_hand.lock().unwrap_or_else(PoisonError::into_inner));
        history.changed.extend(by_hand);
        Outcomes {
            history,
            steady: self.world.steady.clone(),
            undone: self.world.undone.load(Ordering::Relaxed),
            changes: !self.world.changers.is_empty(),
        }
    }
}

impl World {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn while_paused(&self) {
        while self.is_paused.load(Ordering::Relaxed) && !self.is_over() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The text of a key: that of a steady one half of the time.
    fn key(&self, number: usize) -> (Key, String) {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        if number % 8 == 4 && !watched.is_empty() {
            let (key, issued) = &watched[number / 8 % watched.len()];
            return (*key, issued.secret.clone());
        }
        let changed = self.changed.read().unwrap_or_else(PoisonError::into_inner);
        match number % 8 {
            0..4 => {
                let key = number / 8 % STEADY;
                (key, self.steady[key].secret.clone())
            }
            4..7 if !changed.is_empty() => changed[number / 8 % changed.len()].clone(),
            _ => {
                let key = number / 8 % UNKNOWN;
                (STEADY + key, self.unknown[key].clone())
            }
        }
    }
}

/// Numbers that follow no pattern, as good as random for whom to ask.
fn scatter(number: usize) -> usize {
    number.wrapping_mul(0x9e37_79b1).rotate_right(16)
}

async fn ask(world: Arc<World>, asker: usize, load: Load) -> History {
    let mut history = History::default();
    let mut round = asker;
    while !world.is_over() {
        round += load.askers;
        let number = scatter(round);
        let (key, secret) = world.key(number);
        let instance = number / 256 % world.api.instances();
        let start = world.now();
        if let Some(outcome) = world.api.try_auth(instance, &secret).await {
            history.asked.push(Asked { key, instance, start, end: world.now(), outcome });
        }
        sleep(load.pause).await;
        world.while_paused().await;
    }
    history
}

/// Asks everybody once more for every key that was changed.
async fn ask_for_all(world: &World) -> History {
    let mut history = History::default();
    let latest = world.changed.read().unwrap_or_else(PoisonError::into_inner).clone();
    let mut keys = world.old.lock().unwrap_or_else(PoisonError::into_inner).clone();
    keys.extend(latest);
    for (key, secret) in keys {
        for instance in 0..world.api.instances() {
            let start = world.now();
            if let Some(outcome) = world.api.try_auth(instance, &secret).await {
                history.asked.push(Asked { key, instance, start, end: world.now(), outcome });
            }
        }
    }
    history
}

async fn change(world: Arc<World>, changer: usize) -> History {
    let mut history = History::default();
    let mut round = changer;
    while !world.is_over() {
        if world.is_held.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        round += CHANGERS;
        let through = |number| world.changers[scatter(number) / 256 % world.changers.len()];
        let instance = through(round);
        let start = world.now();
        let issued = match world.api.issue(instance, &json!({"name": "changed"})).await {
            Ok(issued) => issued,
            Err(NotDone::Refused(status, text)) => panic!("issuing: {status} {text}"),
            Err(NotDone::NoAnswer) => {
                world.undone.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let key = world.next.fetch_add(1, Ordering::Relaxed);
        let acknowledged = Some(world.now());
        let change = Changed { key, instance, good: true, start, acknowledged, complete: false };
        history.changed.push(change);
        {
            let mut changed = world.changed.write().unwrap_or_else(PoisonError::into_inner);
            changed.push_back((key, issued.secret));
            if changed.len() > CHANGED {
                world
                    .old
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(changed.pop_front());
            }
        }
        sleep(Duration::from_millis(300)).await;
        let instance = through(round + 1_000_003);
        // Until it is acknowledged, as somebody does who wants it gone.
        loop {
            let start = world.now();
            let revoked = world.api.revoke(instance, &issued.id, world.wait).await;
            let acknowledged = revoked.is_ok().then(|| world.now());
            let complete = match revoked {
                Ok(complete) => complete,
                Err(NotDone::NoAnswer) => false,
                Err(NotDone::Refused(status, text)) => panic!("revoking: {status} {text}"),
            };
            let good = false;
            history.changed.push(Changed { key, instance, good, start, acknowledged, complete });
            if acknowledged.is_some() {
                break;
            }
            world.undone.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(200)).await;
        }
        world.while_paused().await;
    }
    history
}

impl Outcomes {
    /// Checks all of it, and the check. Gives a row by this name, and how many requests and
    /// complete revokes there were.
    pub(crate) fn check(&self, report: &mut Report, name: &str, bounds: Bounds) {
        let Self { history, .. } = self;
        let violations = history.violations(bounds);
        for violation in violations.iter().take(5) {
            say(&format!("  {violation:?}"));
        }
        let revokes = history.changed.iter().filter(|change| !change.good);
        let mut complete = revokes.clone().filter(|change| change.complete);
        let counts = [Outcome::Admitted, Outcome::Refused, Outcome::Unanswered]
            .map(|outcome| history.count(outcome));
        let [admitted, refused, unanswered] = counts;
        let of = format!(
            "{} requests ({admitted} let through, {refused} refused, {unanswered} unanswered), {} \
             revokes, {} of them complete",
            history.asked.len(),
            revokes.count(),
            complete.clone().count(),
        );
        report.totals.requests += history.asked.len();
        report.totals.complete += complete.clone().count();
        for violation in &violations {
            match violation {
                Violation::Admitted(asked, _) if is_unknown(asked.key) => {
                    report.totals.unknown_admitted += 1;
                }
                Violation::Admitted(..) => report.totals.revoked_admitted += 1,
                Violation::Refused(..) => report.totals.good_refused += 1,
            }
        }
        report.never(format!("{name}: wrong answers"), violations.len(), of);
        // Where nobody answers, nothing is wrong, and nothing is shown.
        let answers = admitted >= LEAST && refused >= LEAST;
        let changes = complete.clone().next().is_some() || !self.changes;
        if !(answers && changes) {
            report.row(format!("{name}: shows something"), "too little was answered", "", false);
        }
        // Whoever finds nothing must be able to find something.
        if let Some(revoke) = complete.next_back() {
            let at = revoke.acknowledged.unwrap_or_default();
            let (start, end) = (at + Duration::from_micros(1), at + Duration::from_millis(1));
            // Elsewhere than where it was revoked: so it is the completeness that counts.
            let (key, outcome, instance) = (revoke.key, Outcome::Admitted, revoke.instance + 1);
            let planted = Asked { key, instance, start, end, outcome };
            let history = History { asked: vec![planted], changed: history.changed.clone() };
            assert_eq!(history.violations(bounds).len(), 1, "a planted violation is found");
        }
    }

    /// How many calls with each key that is good all the time must be on record at least, and how
    /// many may be: those without an answer may have been let through. With those before it began.
    pub(crate) fn steady_calls(&self, instances: usize) -> Vec<[usize; 2]> {
        let mut calls = vec![[instances; 2]; STEADY];
        for asked in self.history.asked.iter().filter(|asked| is_steady(asked.key)) {
            let [least, most] = &mut calls[asked.key];
            *least += usize::from(asked.outcome == Outcome::Admitted);
            *most += usize::from(matches!(asked.outcome, Outcome::Admitted | Outcome::Unanswered));
        }
        calls
    }

    /// How many requests were not answered, with keys that are unknown to one instance.
    pub(crate) fn unknown_unanswered(&self, instance: usize) -> usize {
        let asked = self.history.asked.iter().filter(|asked| asked.instance == instance);
        asked.filter(|asked| is_unknown(asked.key) && asked.outcome == Outcome::Unanswered).count()
    }

    /// How many requests with keys that are good all the time were not let through.
    pub(crate) fn steady_not_admitted(&self) -> (usize, usize) {
        self.steady_not_admitted_at(|_| true)
    }

    /// The same of some instances.
    pub(crate) fn steady_not_admitted_at(&self, at: impl Fn(usize) -> bool) -> (usize, usize) {
        let steady = self.history.asked.iter().filter(|asked| is_steady(asked.key));
        let steady: Vec<_> = steady.filter(|asked| at(asked.instance)).collect();
        let not = steady.iter().filter(|asked| asked.outcome != Outcome::Admitted).count();
        (not, steady.len())
    }
}

/// Whether a key is one of those that are good all the time.
pub(crate) const fn is_steady(key: Key) -> bool {
    key < STEADY
}

/// The text of a key that nobody has issued.
pub(crate) fn unknown_key() -> String {
    let draft = Issuer::new().draft(NewKey::named("unknown")).expect("a key");
    draft.into_issued().reveal().to_owned()
}

fn is_unknown(key: Key) -> bool {
    (STEADY..STEADY + UNKNOWN).contains(&key)
}
