//! What the test binaries of one run share.

use std::fs::{self, File};
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokio::sync::OnceCell;

use super::Service;

/// The server of this run: the one another test started, else the one `start` does.
pub(super) async fn shared(service: Service, start: impl AsyncFnOnce() -> String) -> String {
    static POSTGRES: OnceCell<String> = OnceCell::const_new();
    static REDIS: OnceCell<String> = OnceCell::const_new();
    let cell = match service {
        Service::Postgres => &POSTGRES,
        Service::Redis => &REDIS,
    };
    // Within the process the cell makes others wait, between processes the file's lock.
    cell.get_or_init(async || {
        let folder = folder();
        fs::create_dir_all(&folder).expect("a folder for the run's servers");
        let file = folder.join(format!("{}.url", service.name()));
        let lock = File::create(file.with_extension("lock")).expect("a lock file");
        lock.lock().expect("a lock on the file");
        match fs::read_to_string(&file).ok().filter(|url| answers(url)) {
            Some(url) => url,
            None => {
                let url = start().await;
                fs::write(&file, &url).expect("the run's folder can be written");
                url
            }
        }
    })
    .await
    .clone()
}

/// The process that the run ends with.
pub(super) fn owner() -> u32 {
    let named = std::env::var("KEYAUTH_TEST_RUN").ok().and_then(|text| text.parse().ok());
    named.unwrap_or_else(std::os::unix::process::parent_id)
}

/// Where this run keeps what its servers need: in a folder that `tests/run` has made, else
/// in one by the name of the user and the run.
pub(super) fn folder() -> PathBuf {
    if let Some(folder) = super::variable("KEYAUTH_TEST_FOLDER") {
        return folder.into();
    }
    let user = super::variable("USER").unwrap_or_else(|| "unnamed".to_owned());
    std::env::temp_dir().join(format!("keyauth-test-run-{user}-{}", owner()))
}

/// Has a shell wait for the end of the run and then clean up by `script`, whose arguments
/// are `$1` and so on. A process of its own, since statics are not dropped at exit.
pub(super) fn clean_up_after(service: Service, script: &str, arguments: &[&str]) {
    let folder = folder();
    let name = service.name();
    // In the background of a shell that ends at once, so that nobody has to wait for it.
    let script = format!(
        "(while kill -0 {owner} 2>/dev/null; do sleep 1; done; {script}; \
         rm -rf \"$0/{name}\" \"$0/{name}.url\" \"$0/{name}.lock\"; rmdir \"$0\") &",
        owner = owner(),
    );
    let mut cleaner = Command::new("sh");
    cleaner.arg("-c").arg(script).arg(&folder).args(arguments);
    cleaner.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own, so that Ctrl-C ends the tests and not the cleaning up.
    std::os::unix::process::CommandExt::process_group(&mut cleaner, 0);
    assert!(cleaner.status().is_ok_and(|status| status.success()), "a shell to clean up with");
}

/// Whether somebody listens at a URL's host and port.
fn answers(url: &str) -> bool {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
    let host = authority.and_then(|authority| authority.rsplit('@').next()).unwrap_or_default();
    host.to_socket_addrs()
        .is_ok_and(|mut found| found.any(|address| std::net::TcpStream::connect(address).is_ok()))
}
