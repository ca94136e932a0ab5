//! Servers from binaries on this machine.

use std::net::TcpListener;
use std::path::Path;

use super::{Service, run};

/// Makes a server in the folder `$1` and starts it on port `$2`; ends when it answers.
/// PostgreSQL refuses to run as root, and is then run as its package's user.
const POSTGRES: &str = r#"
set -eu
bin=$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
[ -n "$bin" ] || { echo "no initdb" >&2; exit 1; }
bin=$(dirname "$(readlink -f "$bin")")
rm -rf "$1"
mkdir -p "$1"
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null
    chmod 711 "$(dirname "$1")"
    chown postgres "$1"
    as() { su postgres -s /bin/sh -c 'exec "$@"' -- sh "$@"; }
fi
cd "$1"
as "$bin/initdb" -D "$1/data" -U postgres --auth=trust --no-sync --locale=C --encoding=UTF8 \
    >/dev/null
as "$bin/pg_ctl" -D "$1/data" -w -l "$1/log" \
    -o "-p $2 -c listen_addresses=127.0.0.1 -c unix_socket_directories='$1' ${3:-}" \
    start >/dev/null
"#;

/// Copies the server in the folder `$1` on port `$2`, and has the copy follow it on port `$3`.
const REPLICA: &str = r#"
set -eu
bin=$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
bin=$(dirname "$(readlink -f "$bin")")
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as() { su postgres -s /bin/sh -c 'exec "$@"' -- sh "$@"; }
fi
cd "$1"
as "$bin/pg_basebackup" -h 127.0.0.1 -p "$2" -U postgres -D "$1/replica" -R -c fast >/dev/null
as "$bin/pg_ctl" -D "$1/replica" -w -l "$1/replica.log" \
    -o "-p $3 -c listen_addresses=127.0.0.1 -c unix_socket_directories='$1' \
    -c max_connections=500" start >/dev/null
"#;

/// Does to the server in the folder `$1` what `$2` says: `kill` it without letting it tidy up, `stop`
/// it in order, `start` it again, `freeze` all its processes and `thaw` them, or `remove` it with its replica.
const TREAT: &str = r#"
set -eu
bin=$(command -v pg_ctl || ls /usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null | tail -n 1)
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then
    as() { su postgres -s /bin/sh -c 'exec "$@"' -- sh "$@"; }
fi
cd "$1"
signal() {
    parent=$(head -n 1 data/postmaster.pid)
    kill "$1" "$parent" $(ps -A -o pid=,ppid= | awk -v parent="$parent" '$2 == parent { print $1 }')
}
case $2 in
kill) as "$bin" -D "$1/data" -m immediate -w stop >/dev/null ;;
stop) as "$bin" -D "$1/data" -m fast -w stop >/dev/null ;;
start)
    as "$bin" -D "$1/data" -w -l "$1/log" -o "$(sed 's/^[^ ]* //' \
        "$1/data/postmaster.opts" | tr -d '"')" start >/dev/null
    ;;
freeze) signal -STOP ;;
thaw) signal -CONT ;;
remove)
    signal -CONT 2>/dev/null || true
    as "$bin" -D "$1/data" -m immediate -w stop >/dev/null || true
    [ ! -d "$1/replica" ] || as "$bin" -D "$1/replica" -m immediate -w stop >/dev/null || true
    ! mountpoint -q "$1/small" || umount "$1/small"
    ;;
esac
"#;

const REDIS: &str = r#"
set -eu
command -v redis-server >/dev/null || { echo "no redis-server" >&2; exit 1; }
rm -rf "$1"
mkdir -p "$1"
redis-server --bind 127.0.0.1 --port "$2" --dir "$1" --save '' --appendonly no \
    --daemonize yes --pidfile "$1/pid" >/dev/null
for _ in $(seq 100); do
    if redis-cli -p "$2" ping >/dev/null 2>&1; then exit 0; fi
    sleep 0.1
done
echo "redis-server did not answer in 10 s" >&2
exit 1
"#;

/// Starts a PostgreSQL of a test's own in a folder.
pub(super) fn start_postgres(folder: &Path, port: u16, settings: &str) -> Result<(), String> {
    let folder = folder.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    run_script(POSTGRES, &[folder, &port.to_string(), settings])
}

/// Mounts a disk of 64 MiB below its folder, and says where.
pub(super) fn mount_small_disk(folder: &Path) -> Result<String, String> {
    let disk = folder.join("small").to_str().unwrap_or_default().to_owned();
    run_script("mkdir -p \"$1\" && mount -t tmpfs -o size=64m,mode=1777 none \"$1\"", &[&disk])?;
    Ok(disk)
}

/// Starts a replica of it.
pub(super) fn start_replica(folder: &Path, port: u16, replica_port: u16) -> Result<(), String> {
    let folder = folder.to_str().unwrap_or_default();
    run_script(REPLICA, &[folder, &port.to_string(), &replica_port.to_string()])
}

/// The port of one that is there, whether it runs or not.
pub(super) fn port_of(folder: &Path) -> Option<u16> {
    let options = std::fs::read_to_string(folder.join("data/postmaster.opts")).ok()?;
    let (_, port) = options.split_once("\"-p\" \"")?;
    port.split('"').next()?.parse().ok()
}

/// Does something to it: `kill`, `stop`, `start`, `freeze` or `thaw`.
pub(super) fn postgres(folder: &Path, what: &str) -> Result<(), String> {
    run_script(TREAT, &[folder.to_str().unwrap_or_default(), what])
}

/// Ends it, and its replica, for good.
pub(super) fn remove_postgres(folder: &Path) -> Result<String, String> {
    let outcome = postgres(folder, "remove");
    // With the one around it, which is its own too.
    let _ = std::fs::remove_dir_all(folder.parent().unwrap_or(folder));
    outcome.map(|()| String::new())
}

fn run_script(script: &str, arguments: &[&str]) -> Result<(), String> {
    super::server::run("sh", &[&["-c", script, "sh"], arguments].concat()).map(drop)
}

/// Starts a server that ends with the run, and gives its URL, or what is missing.
pub(super) fn start(service: Service) -> Result<String, String> {
    let folder = run::folder().join(service.name());
    let folder = folder.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.map_err(|error| error.to_string())?.port();
    let (script, stop, url) = match service {
        Service::Postgres => (
            POSTGRES,
            "kill -INT \"$(head -n 1 \"$1/data/postmaster.pid\")\"; sleep 1",
            format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        ),
        Service::Redis => {
            (REDIS, "kill \"$(cat \"$1/pid\")\"", format!("redis://127.0.0.1:{port}"))
        }
    };
    run_script(script, &[folder, &port.to_string()])?;
    run::clean_up_after(service, stop, &[folder]);
    Ok(url)
}
