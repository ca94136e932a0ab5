//! A PostgreSQL server of a test's own, to be crashed.

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
    place: Place,
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
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a port").port();
        let settings: Vec<_> =
            settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let place = match start_container(port, &settings) {
            Ok(container) => Place::Container(container),
            Err(docker) => {
                let folder = std::env::temp_dir().join(format!("keyauth-server-{port}"));
                if let Err(local) = local::start_postgres(&folder, port, &settings.join(" ")) {
                    panic!("no server of one's own. Docker: {docker}. This machine: {local}");
                }
                Place::Folder(folder)
            }
        };
        let server = Self { port, place };
        server.wait_until_it_answers().await;
        server
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as the power cord does, and starts it again.
    ///
    /// # Panics
    ///
    /// Where it does not come back.
    pub async fn crash_and_restart(&self) {
        match &self.place {
            Place::Container(container) => {
                run("docker", &["kill", "--signal", "KILL", container]).expect("killed");
                run("docker", &["start", container]).expect("started again");
            }
            Place::Folder(folder) => local::crash_postgres(folder).expect("started again"),
        }
        self.wait_until_it_answers().await;
    }

    async fn wait_until_it_answers(&self) {
        let answering = async {
            // The image's first start is followed by a second one, so once is not enough.
            let mut answers = 0;
            while answers < 3 {
                let alive = super::postgres::execute(&self.url(), "SELECT 1".to_owned()).await;
                answers = if alive.is_ok() { answers + 1 } else { 0 };
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, answering).await;
        in_time.expect("the server answers");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = match &self.place {
            Place::Container(container) => {
                run("docker", &["rm", "--force", "--volumes", container])
            }
            Place::Folder(folder) => local::remove_postgres(folder),
        };
    }
}

fn start_container(port: u16, settings: &[String]) -> Result<String, String> {
    let (image_variable, official) = Service::Postgres.image();
    let image = variable(image_variable).unwrap_or_else(|| official.to_owned());
    let publish = format!("127.0.0.1:{port}:5432");
    let mut arguments =
        vec!["run", "--detach", "--publish", &publish, "--env", "POSTGRES_PASSWORD=postgres"];
    arguments.push(&image);
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
