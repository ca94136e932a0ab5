//! Redis servers of a test's own, to be frozen and killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::run;
use super::{Service, variable};

/// How long servers may take to start, and to agree that they are a cluster.
const PATIENCE: Duration = Duration::from_secs(60);
/// A cluster's servers talk to each other on a port so much higher.
const BUS: u16 = 10_000;

/// Starts the server on port `$2` in its folder in `$1`, by the arguments after that.
const START: &str = r#"
set -eu
command -v redis-server >/dev/null || { echo "no redis-server" >&2; exit 1; }
dir="$1/$2" port=$2
shift 2
mkdir -p "$dir"
if [ -e "$dir/../libfaketime.so" ]; then
    # With the C library's own memory: jemalloc asks for the time before there is one.
    export LD_PRELOAD="$dir/../libfaketime.so libc.so.6" FAKETIME_TIMESTAMP_FILE="$dir/../clock"
    export FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
fi
redis-server --port "$port" --dir "$dir" --protected-mode no --save '' --appendonly no \
    --daemonize yes --pidfile "$dir/pid" "$@" >/dev/null
"#;

/// Sends the signal `$3` to it, and waits for the end of one that is killed.
const SIGNAL: &str = r#"
set -eu
kill -"$3" "$(cat "$1/$2/pid")"
[ "$3" = KILL ] || exit 0
for _ in $(seq 100); do
    redis-cli -p "$2" ping >/dev/null 2>&1 || exit 0
    sleep 0.05
done
exit 1
"#;

/// Gives the slots of the server on port `$2` to that on port `$1`, as of now.
const TAKE_OVER: &str = r#"
set -eu
ranges=$(redis-cli -p "$1" cluster nodes | grep ":$2@" | cut -d' ' -f9-)
for range in $ranges; do
    redis-cli -p "$1" cluster delslotsrange "${range%-*}" "${range#*-}"
    redis-cli -p "$1" cluster addslotsrange "${range%-*}" "${range#*-}"
done
redis-cli -p "$1" cluster bumpepoch
"#;

const IN_A_CLUSTER: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-announce-ip",
    "127.0.0.1",
    "--cluster-node-timeout",
    "1000",
    "--cluster-require-full-coverage",
    "no",
];

/// One server, or the three of a cluster, which only one test uses and which are gone with this
/// value.
#[derive(Debug)]
pub struct RedisServers {
    ports: Vec<u16>,
    arguments: Vec<&'static str>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Container(String),
    Folder(PathBuf),
}

impl RedisServers {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// Where neither Docker nor this machine has Redis.
    pub async fn start() -> Self {
        Self::start_many(1, &[]).await
    }

    /// Starts three, with a third of a cluster each and no replicas.
    ///
    /// # Panics
    ///
    /// Where neither Docker nor this machine has Redis.
    pub async fn start_cluster() -> Self {
        let servers = Self::start_many(3, &IN_A_CLUSTER).await;
        let addresses: Vec<_> =
            servers.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let create = "redis-cli --cluster create \"$@\" --cluster-yes";
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        servers.shell(create, &addresses).expect("a cluster");
        for server in 0..3 {
            servers.wait_until(server, "cluster info | grep -q cluster_state:ok").await;
        }
        servers
    }

    /// Starts one whose clock can be turned.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and where the [library](fake_time_library) is not for it.
    pub async fn start_with_clock(library: &Path) -> Self {
        let servers = Self::prepare(1, &[]);
        let folder = servers.folder();
        servers.shell("mkdir -p \"$1\"", &[folder]).expect("a folder");
        let library = library.to_str().expect("a name in UTF-8");
        let there = format!("{folder}/libfaketime.so");
        match &servers.place {
            Place::Container(container) => {
                // Its name there is a link's.
                let to = format!("{container}:{there}");
                run("docker", &["cp", "--follow-link", library, &to]).expect("copied");
            }
            Place::Folder(_) => {
                run("cp", &[library, &there]).expect("copied");
            }
        }
        servers.turn_clock(0);
        servers.restart(0).await;
        servers
    }

    /// Turns the clock of one that was [started so](Self::start_with_clock), so many seconds away
    /// from the right time.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn turn_clock(&self, seconds: i64) {
        // In one step, since it is read at every question.
        let script = "echo \"$2\" > \"$1/clock.new\" && mv \"$1/clock.new\" \"$1/clock\"";
        self.shell(script, &[self.folder(), &format!("{seconds:+}")]).expect("a clock");
    }

    async fn start_many(count: usize, arguments: &[&'static str]) -> Self {
        let servers = Self::prepare(count, arguments);
        for server in 0..count {
            servers.restart(server).await;
        }
        servers
    }

    fn prepare(count: usize, arguments: &[&'static str]) -> Self {
        let ports = free_ports(count);
        let (place, bind) = match start_container(&ports) {
            Ok(container) => (Place::Container(container), "0.0.0.0"),
            Err(docker) => {
                let folder = run("mktemp", &["-d"]).unwrap_or_else(|error| {
                    panic!("no place for Redis. Docker: {docker}. This machine: {error}")
                });
                (Place::Folder(folder.into()), "127.0.0.1")
            }
        };
        let arguments = [&["--bind", bind], arguments].concat();
        Self { ports, arguments, place }
    }

    /// How to connect to each.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.ports.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect()
    }

    /// Sends a signal to one: `STOP` freezes it, `CONT` goes on, `KILL` ends it.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub fn signal(&self, server: usize, signal: &str) {
        let port = self.port(server);
        self.shell(SIGNAL, &[self.folder(), &port, signal]).expect("a server to send a signal to");
    }

    /// Starts one that was killed, empty.
    ///
    /// # Panics
    ///
    /// Where it does not start.
    pub async fn restart(&self, server: usize) {
        let port = self.port(server);
        let arguments = [&[self.folder(), &port], self.arguments.as_slice()].concat();
        self.shell(START, &arguments).expect("a Redis server");
        self.wait_until(server, "ping | grep -q PONG").await;
    }

    /// Has `redis-cli` send a command, and gives back what it prints.
    ///
    /// # Panics
    ///
    /// Where the server does not answer.
    #[must_use]
    pub fn ask(&self, server: usize, command: &[&str]) -> String {
        let port = self.port(server);
        self.shell("redis-cli -p \"$@\"", &[&[port.as_str()], command].concat()).expect("an answer")
    }

    /// Has one server of a cluster give so many of its slots to another, with what is there.
    ///
    /// # Panics
    ///
    /// Where it has not as many, or the cluster does not agree.
    pub fn move_slots(&self, from: usize, to: usize, count: u16) {
        let id = |server| self.ask(server, &["CLUSTER", "MYID"]);
        let (from, to, count, port) = (id(from), id(to), count.to_string(), self.port(0));
        let reshard = "redis-cli --cluster reshard 127.0.0.1:\"$1\" --cluster-from \"$2\" \
                       --cluster-to \"$3\" --cluster-slots \"$4\" --cluster-yes >/dev/null";
        self.shell(reshard, &[&port, &from, &to, &count]).expect("slots that move");
    }

    /// Has a server of a cluster take all slots of another one that does not answer, without what
    /// was there: as an empty replica does that takes its primary's place.
    ///
    /// # Panics
    ///
    /// Where the server does not do so.
    pub fn take_over(&self, lost: usize, heir: usize) {
        let (lost, port) = (self.port(lost), self.port(heir));
        self.shell(TAKE_OVER, &[&port, &lost]).expect("a server that takes over");
    }

    async fn wait_until(&self, server: usize, holds: &str) {
        let script = format!("redis-cli -p \"$1\" {holds}");
        let waiting = async {
            while self.shell(&script, &[&self.port(server)]).is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("the server answers");
    }

    fn port(&self, server: usize) -> String {
        self.ports.get(server).expect("a server of that number").to_string()
    }

    /// Where the servers' folders are, as they see it.
    fn folder(&self) -> &str {
        match &self.place {
            Place::Container(_) => "/tmp/redis",
            Place::Folder(folder) => folder.to_str().expect("a name in UTF-8"),
        }
    }

    /// Runs a script where the servers are.
    fn shell(&self, script: &str, arguments: &[&str]) -> Result<String, String> {
        let shell = [&["sh", "-c", script, "sh"], arguments].concat();
        match &self.place {
            Place::Container(container) => {
                run("docker", &[&["exec", container.as_str()], shell.as_slice()].concat())
            }
            Place::Folder(_) => run("sh", shell.get(1..).unwrap_or_default()),
        }
    }
}

impl Drop for RedisServers {
    fn drop(&mut self) {
        match &self.place {
            Place::Container(container) => {
                let _ = run("docker", &["rm", "--force", "--volumes", container]);
            }
            Place::Folder(folder) => {
                let _ = self.shell("kill -KILL $(cat \"$1\"/*/pid)", &[self.folder()]);
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

fn start_container(ports: &[u16]) -> Result<String, String> {
    let (image_variable, official) = Service::Redis.image();
    let image = variable(image_variable).unwrap_or_else(|| official.to_owned());
    // The same ports inside and outside: a cluster's servers tell clients of each other's.
    let publish: Vec<_> =
        ports.iter().map(|port| format!("--publish=127.0.0.1:{port}:{port}")).collect();
    let publish: Vec<_> = publish.iter().map(String::as_str).collect();
    let idle = ["--entrypoint", "sleep", &image, "infinity"];
    run("docker", &[&["run", "--detach", "--init"], publish.as_slice(), &idle].concat())
}

/// Ports that nobody listens on, nor so much higher.
fn free_ports(count: usize) -> Vec<u16> {
    // All held until all are known, or two could be the same.
    let mut held = Vec::new();
    let mut ports = Vec::new();
    while ports.len() < count {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let bus = port.checked_add(BUS).map(|bus| TcpListener::bind(("127.0.0.1", bus)));
        if let Some(Ok(bus)) = bus {
            held.push(bus);
            ports.push(port);
        }
        held.push(listener);
    }
    ports
}

/// The library `libfaketime`, where this machine has it: a program that is preloaded with it sees
/// another time of day.
#[must_use]
pub fn fake_time_library() -> Option<PathBuf> {
    let script =
        "ls /usr/lib/*/faketime/libfaketime.so.1 /usr/lib*/faketime/libfaketime.so.1 2>/dev/null";
    let found = run("sh", &["-c", &format!("{script} | head -n 1")]).ok()?;
    (!found.is_empty()).then(|| found.into())
}
