//! `keyauth serve`, several times, over PostgreSQL and Redis, with wires that can be damaged.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use keyauth_testkit::{FaultProxy, PostgresServer, RedisServers};
use keyauth_tests::Running;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::api::Api;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keyauth-under-test");
const PATIENCE: Duration = Duration::from_secs(120);

/// The servers, gone with this value.
pub(crate) struct Fleet {
    pub(crate) instances: Vec<Instance>,
    pub(crate) postgres: PostgresServer,
    pub(crate) redis: RedisServers,
    /// The administrator's key, who may do everything.
    pub(crate) administrator: String,
    folder: TempDir,
}

/// One of them.
pub(crate) struct Instance {
    /// To PostgreSQL for everything but the feed, to it for that, and to Redis.
    pub(crate) database: FaultProxy,
    pub(crate) feed: FaultProxy,
    pub(crate) redis: FaultProxy,
    pub(crate) address: String,
    pub(crate) running: Option<Running>,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Fleet {
    /// So many, over servers of their own.
    pub(crate) async fn start(count: usize) -> Self {
        Self::start_over(count, RedisServers::start().await).await
    }

    pub(crate) async fn start_over(count: usize, redis: RedisServers) -> Self {
        // The last so that what is not committed stays in memory, for F9.
        let settings = ["max_connections=200", "track_commit_timestamp=on", "wal_writer_delay=10s"];
        let postgres = PostgresServer::start(&settings).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut fleet =
            Self { instances: Vec::new(), postgres, redis, administrator: String::new(), folder };
        let migrated = tokio::process::Command::new(PROGRAM)
            .args(["migrate", "--database", &fleet.postgres.url(), "--log", "warn"])
            .current_dir(fleet.folder.path())
            .stdout(std::process::Stdio::null())
            .status();
        assert!(migrated.await.expect("it runs").success(), "a schema");
        for _ in 0..count {
            fleet.add(&[]).await;
        }
        fleet
    }

    /// Starts one more, with variables of the environment.
    pub(crate) async fn add(&mut self, variables: &[(&str, &str)]) {
        let folder = self.folder.path().join(self.instances.len().to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        let pepper = format!("1:{}\n", "5a".repeat(32));
        std::fs::write(folder.join("peppers"), pepper).expect("written");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut instance = Instance {
            database: FaultProxy::to(&self.postgres.url()).await,
            feed: FaultProxy::to(&self.postgres.url()).await,
            redis: FaultProxy::to(&self.redis.urls()[0]).await,
            address: String::new(),
            running: None,
            folder,
            variables: variables.iter().map(owned).collect(),
        };
        instance.start().await;
        if self.administrator.is_empty() {
            let file = instance.folder.join("keyauth-admin.key");
            let key = std::fs::read_to_string(file).expect("the first start makes a key");
            self.administrator = key.trim().to_owned();
        }
        self.instances.push(instance);
    }

    /// Asks all of them, as the administrator.
    pub(crate) fn api(&self) -> Api {
        let addresses = self.instances.iter().map(|instance| instance.address.clone());
        Api::new(addresses.collect(), self.administrator.clone())
    }

    /// Has nobody wait for those that were killed: revokes would, for as long as these could serve.
    pub(crate) async fn forget_the_dead(&self) {
        let (url, api) = (self.postgres.url(), self.api());
        let noted = "DROP TABLE IF EXISTS beats; \
                     CREATE TABLE beats AS SELECT id, beat FROM keyauth.instances";
        crate::sql::execute(&url, noted).await.expect("they are noted");
        // Of which all that live say that they have heard.
        let key = api.issue(1, &serde_json::json!({"name": "heard of"})).await.expect("a key");
        let _ = api.revoke(1, &key.id, 3).await;
        let silent = "DELETE FROM keyauth.instances AS i USING beats AS b \
                      WHERE i.id = b.id AND i.beat = b.beat";
        crate::sql::execute(&url, silent).await.expect("they are forgotten");
    }

    /// Waits until each answers to a key that it cannot know from before.
    pub(crate) async fn wait_until_whole(&self) {
        let api = self.api();
        let whole = async {
            for instance in 0..self.instances.len() {
                loop {
                    if let Ok(key) = api.issue(instance, &serde_json::json!({"name": "new"})).await
                        && api.admits(instance, &key.secret).await
                    {
                        break;
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
        };
        timeout(PATIENCE, whole).await.expect("the fleet is whole again");
    }
}

impl Instance {
    /// Starts it, also again.
    pub(crate) async fn start(&mut self) {
        let mut running = self.begin();
        let line = running.line_with("listening on http://").await;
        self.address = line.trim_start_matches("listening on ").to_owned();
        self.running = Some(running);
    }

    fn begin(&self) -> Running {
        // Once it has one, it keeps its port.
        let listen = self.address.strip_prefix("http://").unwrap_or("127.0.0.1:0");
        let arguments = [
            "serve",
            "--listen",
            listen,
            "--database",
            self.database.url(),
            "--direct-database",
            self.feed.url(),
            "--redis",
            self.redis.url(),
            "--peppers",
            "peppers",
            "--drain",
            "2s",
            "--log",
            "warn",
        ];
        let log = self.folder.join("log");
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let variables: Vec<_> = variables.collect();
        Running::start_told(PROGRAM, &arguments, &self.folder, &variables, log)
    }

    pub(crate) fn process(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// Ends it without a word, and says when.
    pub(crate) async fn kill(&mut self) -> Instant {
        let running = self.running.take().expect("it runs");
        running.signal("-KILL").await;
        let at = Instant::now();
        running.ended().await;
        at
    }

    /// Asks it to stop, and says whether it ended well.
    pub(crate) async fn terminate(&mut self) -> bool {
        self.running.take().expect("it runs").terminate().await
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
