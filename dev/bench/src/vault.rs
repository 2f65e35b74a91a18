//! A real vault to measure: the release binary as a process, made by `server --dev` in a directory of
//! its own, with a throw-away custodian and an administrator's API key; or one that was restored.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holdfast_api::wire;
use holdfast_client::{Client, Context};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::load::runtime;
use crate::wire::Target;

/// How long a server may take until it serves, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(120);

/// A vault in a directory, and its server while it runs. The server is killed when this is dropped.
pub struct Vault {
    binary: PathBuf,
    home: PathBuf,
    arguments: Vec<OsString>,
    context: PathBuf,
    server: Option<Server>,
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Vault {
    /// Makes a vault in `home`, which does not exist yet, and starts it.
    pub fn make(binary: &Path, home: &Path) -> Result<Self> {
        let arguments = vec!["--dev".into(), "--data".into(), home.into()];
        let mut vault = Self {
            binary: binary.to_owned(),
            home: home.to_owned(),
            arguments,
            context: home.join("context.toml"),
            server: None,
        };
        vault.start()?;
        Ok(vault)
    }

    /// A vault that lies in `data`, with the administrator's context; not started yet.
    pub fn in_data(binary: &Path, data: &Path, context: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            home: data.to_owned(),
            arguments: vec!["--data".into(), data.into()],
            context: context.to_owned(),
            server: None,
        }
    }

    /// The API, for another thread, say.
    pub fn caller(&self) -> Result<Caller> {
        Ok(Caller { runtime: runtime()?, client: Mutex::new(Client::new(self.context()?)) })
    }

    /// The directory of everything, as `server --dev` makes it.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Starts the server; gives how long it took from the process's start until it was ready.
    pub fn start(&mut self) -> Result<Duration> {
        let log = self.home.with_extension("log");
        let log = File::options().create(true).append(true).open(log)?;
        let begun = Instant::now();
        let mut child = Command::new(&self.binary)
            .args(["server", "--listen", "127.0.0.1:0"])
            .args(&self.arguments)
            .env_remove("HOLDFAST_CONTEXT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start {}", self.binary.display()))?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let Some(line) = lines.next().transpose()? else {
                _ = child.kill();
                _ = child.wait();
                bail!("the server ended at once: see {}", self.home.with_extension("log").display())
            };
            if let Some(address) = line.strip_prefix("serving on https://") {
                break address.parse()?;
            }
        };
        // It still prints a line or two: that must not fail.
        std::thread::spawn(move || lines.for_each(drop));
        self.server = Some(Server { child, address });
        while !self.ready()? {
            if begun.elapsed() > PATIENCE {
                bail!("the server is not ready after {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    fn ready(&self) -> Result<bool> {
        let target = self.target()?;
        let answer = runtime()?.block_on(async {
            target.connect(crate::wire::Protocol::H1).await?.ask(target.get("/health/ready")?).await
        });
        Ok(answer.is_ok())
    }

    /// Stops the server properly; gives how long that took.
    pub fn stop(&mut self) -> Result<Duration> {
        self.end(Signal::TERM)
    }

    /// Kills the server where it stands.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL).map(drop)
    }

    fn end(&mut self, signal: Signal) -> Result<Duration> {
        let Some(mut server) = self.server.take() else { return Ok(Duration::ZERO) };
        let begun = Instant::now();
        kill_process(Pid::from_child(&server.child), signal)?;
        while server.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                server.child.kill()?;
                bail!("the server did not stop within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(begun.elapsed())
    }

    fn running(&self) -> Result<&Server> {
        self.server.as_ref().context("the server is not running")
    }

    /// The server's process id.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.running()?.child.id())
    }

    /// The administrator's context, with the address of now.
    pub fn context(&self) -> Result<Context> {
        let mut context = Context::read(&self.context)?;
        context.server = format!("https://{}", self.running()?.address);
        Ok(context)
    }

    /// How load reaches it.
    pub fn target(&self) -> Result<Target> {
        let context = self.context()?;
        let ca = CertificateDer::from_pem_slice(context.ca.as_bytes());
        let ca = ca.map_err(|error| anyhow::anyhow!("the CA in the context: {error}"))?;
        let server = self.running()?;
        Target::new(server.child.id(), server.address, ca, &context.api_key.parse()?)
    }

    /// As [`Caller::post`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.caller()?.post(path, body)
    }

    /// As [`Caller::get`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.caller()?.get(path)
    }

    /// Makes a key in the default enclave.
    pub fn create_key(&self, name: &str) -> Result<wire::Key> {
        self.post("/enclaves/default/keys", &wire::Named { name: name.to_owned() })
    }
}

/// The administrator's calls, as the client makes them, on one connection: handshakes beside the load
/// would be measured with it.
pub struct Caller {
    runtime: Runtime,
    client: Mutex<Client>,
}

impl Caller {
    /// `POST /api/v1{path}`.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        Ok(self.runtime.block_on(self.client().post(path, body))?)
    }

    /// `GET /api/v1{path}`.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self.runtime.block_on(self.client().get(path))?)
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        self.client.lock().expect("nobody panics with the lock")
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            _ = server.child.kill();
            _ = server.child.wait();
        }
    }
}
