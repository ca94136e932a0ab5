//! A PostgreSQL server of a test's own, to be crashed or replaced.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Service, local, variable};

/// How long a server may take to start, recovery from a crash included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that only one test uses, and that is gone with this value.
#[derive(Debug)]
pub struct PostgresServer {
    port: u16,
    replica_port: u16,
    place: Place,
    /// Whether it is only stopped in the end.
    kept: bool,
}

/// Where it runs.
#[derive(Debug)]
enum Place {
    Container(String),
    Folder(PathBuf),
}

impl PostgresServer {
    /// Starts one, with settings like `wal_writer_delay=10s`.
    ///
    /// # Panics
    ///
    /// Where neither Docker nor this machine has PostgreSQL.
    pub async fn start(settings: &[&str]) -> Self {
        let (port, replica_port) = free_ports();
        let settings: Vec<_> =
            settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let place = match start_container(None, port, replica_port, &settings) {
            Ok(container) => Place::Container(container),
            Err(docker) => {
                // In a folder of its own, which others may pass through then.
                let parent = std::env::temp_dir().join(format!("keyauth-server-{port}"));
                let folder = parent.join("server");
                if let Err(local) = local::start_postgres(&folder, port, &settings.join(" ")) {
                    panic!("no server of one's own. Docker: {docker}. This machine: {local}");
                }
                Place::Folder(folder)
            }
        };
        let server = Self { port, replica_port, place, kept: false };
        wait_until_it_answers(&server.url()).await;
        server
    }

    /// Starts one that is stopped with this value, and goes on with all that is in it where it is
    /// started by the same name again: for what takes long to make.
    ///
    /// `None` where there is none by this name, unless it is to be made then.
    ///
    /// # Panics
    ///
    /// Where neither Docker nor this machine has PostgreSQL.
    pub async fn start_kept(name: &str, settings: &[&str], make: bool) -> Option<Self> {
        let settings: Vec<_> =
            settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let (port, replica_port) = free_ports();
        let (port, place) = if run("docker", &["version"]).is_ok() {
            if run("docker", &["start", name]).is_ok() {
                let published = run("docker", &["port", name, "5432/tcp"]).expect("a port");
                let port = published.rsplit(':').next().and_then(|port| port.parse().ok());
                (port.expect("a number"), Place::Container(name.to_owned()))
            } else if make {
                let container = start_container(Some(name), port, replica_port, &settings);
                (port, Place::Container(container.expect("a container")))
            } else {
                return None;
            }
        } else {
            let folder = std::env::temp_dir().join(name).join("server");
            let made = local::postgres(&folder, "start");
            match (made, local::port_of(&folder)) {
                (Ok(()), Some(port)) => (port, Place::Folder(folder)),
                _ if make => {
                    local::start_postgres(&folder, port, &settings.join(" ")).expect("a server");
                    (port, Place::Folder(folder))
                }
                _ => return None,
            }
        };
        let server = Self { port, replica_port, place, kept: true };
        wait_until_it_answers(&server.url()).await;
        Some(server)
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Starts a server that follows it by streaming replication, and says how to connect to
    /// that. It is gone with this value.
    ///
    /// # Panics
    ///
    /// Where it cannot be started, as a second one cannot.
    pub async fn start_replica(&self) -> String {
        match &self.place {
            Place::Container(container) => {
                // At least as many connections as the one that it follows.
                let script = "pg_basebackup -U postgres -D /tmp/replica -R -c fast && \
                     pg_ctl -D /tmp/replica -w -l /tmp/replica.log \
                     -o \"-p 5433 -c listen_addresses='*' -c max_connections=500\" start";
                let exec = ["exec", "--user", "postgres", container, "sh", "-c", script];
                run("docker", &exec).expect("a replica");
            }
            Place::Folder(folder) => {
                local::start_replica(folder, self.port, self.replica_port).expect("a replica");
            }
        }
        let url = url(self.replica_port);
        wait_until_it_answers(&url).await;
        url
    }

    /// A folder on a disk of its own that has little room, for a tablespace. Gone with a crash.
    ///
    /// # Panics
    ///
    /// Where there is none: on this machine itself, without Docker, root alone can make one.
    #[must_use]
    pub fn small_disk(&self) -> SmallDisk {
        let disk = match &self.place {
            // Containers have 64 MiB there.
            Place::Container(container) => {
                SmallDisk { container: Some(container.clone()), disk: "/dev/shm".to_owned() }
            }
            Place::Folder(folder) => {
                let disk = local::mount_small_disk(folder).expect("a small disk, which needs root");
                SmallDisk { container: None, disk }
            }
        };
        disk.run("mkdir -p \"$1/space\" && if [ \"$(id -u)\" = 0 ]; then chown postgres \"$1/space\"; fi");
        disk
    }

    /// Ends it as the power cord does, and starts it again.
    ///
    /// # Panics
    ///
    /// Where it does not come back.
    pub async fn crash_and_restart(&self) {
        self.kill();
        self.restart().await;
    }

    /// Ends it as the power cord does.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub fn kill(&self) {
        match &self.place {
            Place::Container(container) => {
                run("docker", &["kill", "--signal", "KILL", container]).expect("killed");
            }
            Place::Folder(folder) => local::postgres(folder, "kill").expect("killed"),
        }
    }

    /// Starts one again that was killed.
    ///
    /// # Panics
    ///
    /// Where it does not come back.
    pub async fn restart(&self) {
        match &self.place {
            Place::Container(container) => {
                run("docker", &["start", container]).expect("started again");
            }
            Place::Folder(folder) => local::postgres(folder, "start").expect("started again"),
        }
        wait_until_it_answers(&self.url()).await;
    }

    /// Stops all its processes where they are; connections stay open.
    ///
    /// # Panics
    ///
    /// Where it does not run.
    pub fn freeze(&self) {
        match &self.place {
            Place::Container(container) => {
                run("docker", &["pause", container]).expect("frozen");
            }
            Place::Folder(folder) => local::postgres(folder, "freeze").expect("frozen"),
        }
    }

    /// Lets one go on that was frozen.
    ///
    /// # Panics
    ///
    /// Where it was not.
    pub fn thaw(&self) {
        match &self.place {
            Place::Container(container) => {
                run("docker", &["unpause", container]).expect("goes on");
            }
            Place::Folder(folder) => local::postgres(folder, "thaw").expect("goes on"),
        }
    }
}

/// A disk that is soon full.
#[derive(Debug)]
pub struct SmallDisk {
    container: Option<String>,
    disk: String,
}

impl SmallDisk {
    /// The folder for a tablespace, as the server sees it.
    #[must_use]
    pub fn folder(&self) -> String {
        format!("{}/space", self.disk)
    }

    /// Leaves no room.
    pub fn fill(&self) {
        self.run("head -c 1G /dev/zero > \"$1/filler\" 2>/dev/null || true");
    }

    /// Makes room again.
    pub fn free(&self) {
        self.run("rm \"$1/filler\"");
    }

    fn run(&self, script: &str) {
        let shell = ["sh", "-c", script, "sh", &self.disk];
        let done = match &self.container {
            Some(container) => run("docker", &[["exec", container].as_slice(), &shell].concat()),
            None => run("sh", shell.get(1..).unwrap_or_default()),
        };
        done.expect("done on the small disk");
    }
}

fn url(port: u16) -> String {
    format!("postgres://postgres:postgres@127.0.0.1:{port}/postgres")
}

async fn wait_until_it_answers(url: &str) {
    let answering = async {
        // The image's first start is followed by a second one, so once is not enough.
        let mut answers = 0;
        while answers < 3 {
            let alive = super::postgres::execute(url, "SELECT 1".to_owned()).await;
            answers = if alive.is_ok() { answers + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, answering).await;
    in_time.expect("the server answers");
}

/// Two that nobody listens on.
fn free_ports() -> (u16, u16) {
    // Both held until both are known, or they would be one.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [first, second] = free.map(|free| free.local_addr().expect("its address").port());
    (first, second)
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = match &self.place {
            Place::Container(container) if self.kept => {
                // Time to write what is not on the disk yet, which would have to be replayed.
                run("docker", &["stop", "--time", "300", container])
            }
            Place::Folder(folder) if self.kept => {
                local::postgres(folder, "stop").map(|()| String::new())
            }
            Place::Container(container) => {
                run("docker", &["rm", "--force", "--volumes", container])
            }
            Place::Folder(folder) => local::remove_postgres(folder),
        };
    }
}

fn start_container(
    name: Option<&str>,
    port: u16,
    replica_port: u16,
    settings: &[String],
) -> Result<String, String> {
    let (image_variable, official) = Service::Postgres.image();
    let image = variable(image_variable).unwrap_or_else(|| official.to_owned());
    let publish = format!("--publish=127.0.0.1:{port}:5432");
    let publish_replica = format!("--publish=127.0.0.1:{replica_port}:5433");
    let mut arguments = vec!["run", "--detach", &publish, &publish_replica];
    arguments.extend(name.iter().flat_map(|name| ["--name", name]));
    arguments.extend(["--env", "POSTGRES_PASSWORD=postgres", &image]);
    arguments.extend(settings.iter().map(String::as_str));
    run("docker", &arguments)
}

/// What a program prints, or complains of.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
