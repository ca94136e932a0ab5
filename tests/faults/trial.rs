//! Load on a fleet while something goes wrong, and what came of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use keyauth_core::{Issuer, NewKey};
use keyauth_tests::history::{Asked, Changed, History, Key};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::{Api, Issued, NotDone};
use crate::fleet::Fleet;
use crate::outcomes::Outcomes;

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
pub(crate) const STEADY: usize = 20;
pub(crate) const UNKNOWN: usize = 5;
/// How many of those that were changed are asked for at once, the latest.
const CHANGED: usize = 30;
/// Who issues keys and revokes them.
const CHANGERS: usize = 3;

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

/// The text of a key that nobody has issued.
pub(crate) fn unknown_key() -> String {
    let draft = Issuer::new().draft(NewKey::named("unknown")).expect("a key");
    draft.into_issued().reveal().to_owned()
}
