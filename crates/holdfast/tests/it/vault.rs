//! A running vault for trying out, in a directory of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_client::Context;
use tempfile::TempDir;

use crate::run::{Output, Server, free_address, with};

/// How long something that happens soon may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// `server --dev --data demo` in a temporary directory.
pub(crate) struct Vault {
    pub(crate) home: TempDir,
    pub(crate) listen: String,
    pub(crate) server: Server,
}

impl Vault {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let listen = free_address();
        let server = dev(home.path(), "demo", &listen);
        Self { home, listen, server }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// The administrator's context.
    pub(crate) fn context(&self) -> Context {
        Context::read(&self.path().join("demo/context.toml")).unwrap()
    }

    /// A command of the administrator's.
    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Output {
        self.with("demo/context.toml", args, input)
    }

    pub(crate) fn with(&self, context: &str, args: &[&str], input: &[u8]) -> Output {
        with(self.path(), context, args, input)
    }

    /// The audit log's lines so far.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let dir = self.path().join("demo/data/audit");
        let mut files: Vec<_> = dir.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let text: Vec<String> =
            files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect();
        let lines = text.iter().flat_map(|text| text.lines());
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of the audit log.
    #[track_caller]
    pub(crate) fn audited(&self, what: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let found = soon(|| self.audit().into_iter().find(|line| what(line)));
        found.unwrap_or_else(|| {
            let lines = self.audit();
            panic!("no such line; the last ones: {:#?}", &lines[lines.len().saturating_sub(3)..])
        })
    }
}

/// A vault for trying out in `home/name`, once it serves.
pub(crate) fn dev(home: &Path, name: &str, listen: &str) -> Server {
    let server = Server::start(home, &["server", "--dev", "--data", name, "--listen", listen]);
    soon(|| home.join(name).join("server.pid").exists().then_some(())).expect("it serves");
    server
}

/// What `look` finds within a while.
pub(crate) fn soon<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match look() {
            None if Instant::now() < give_up => std::thread::sleep(Duration::from_millis(20)),
            found => return found,
        }
    }
}
