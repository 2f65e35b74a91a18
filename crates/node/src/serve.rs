//! `server`: opens a node and serves it until SIGTERM or SIGINT.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_fs::Disk;
use holdfast_records::Listen;
use holdfast_service::Service;
use holdfast_types::{Kind, VaultId};
use tokio::net::TcpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::address::Listening;
use crate::listen::Calls;
use crate::open::{Opened, open};
use crate::{LISTEN_DEFAULT, NodeError, listen};

/// How long a stopped server waits for threads that block.
const LINGER: Duration = Duration::from_secs(5);
/// How long a stop takes that nobody needs to be told of.
const AT_ONCE: Duration = Duration::from_millis(200);
/// How many connections wait in the system to be accepted.
const BACKLOG: u32 = 1024;

/// What `server` is told.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The data directory of a vault.
    pub data: PathBuf,
    /// Where the soft key lies now; where it lay last time where nothing is said.
    pub soft_key: Option<PathBuf>,
    /// Where to listen; where it listened last time where nothing is said.
    pub listen: Option<String>,
    /// The vault's own archive directory; `archives` in the data where nothing is said.
    pub archives: Option<PathBuf>,
    /// A file that holds this process's id while it serves.
    pub pid_file: Option<PathBuf>,
}

/// What a server tells of itself while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The address answers.
    Serving(Serving),
    /// It was asked to stop, and waits for these calls. Asked once more it waits no longer.
    Stopping {
        /// How many are under way.
        calls: usize,
        /// How long it waits for them.
        wait: Duration,
    },
}

/// Who serves where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Serving {
    /// The vault.
    pub vault_id: VaultId,
    /// `https://host:port` for clients: the name that was asked for, or an address that works on this host.
    pub address: String,
    /// The socket.
    pub listen: SocketAddr,
    /// All names and addresses by which clients may call it: those in its certificate.
    pub names: Vec<String>,
}

/// Serves until a signal asks it to stop, and tells what happens meanwhile.
pub fn serve(options: &ServeOptions, tell: &mut dyn FnMut(Event)) -> Result<(), NodeError> {
    serve_at(options, None, &|_| (), tell)
}

/// As [`serve`], at an address that was [taken](take) before where one is given. `listening` hears of the place
/// before anybody is served there.
pub(crate) fn serve_at(
    options: &ServeOptions,
    early: Option<TcpSocket>,
    listening: &dyn Fn(&Listening),
    tell: &mut dyn FnMut(Event),
) -> Result<(), NodeError> {
    let archives = options.archives.clone();
    to_the_end(async {
        let node = open(&Disk::shared(), &options.data, options.soft_key.as_deref(), archives)?;
        let served = run(options, &node, early, listening, tell).await;
        let closed = node.close().await;
        served.and_then(|linger| closed.map(|()| linger))
    })
}

/// Runs a node to its end; it gives how long that may linger. State and audit log are closed then; what still blocks a thread of the runtime's (a
/// disk that does not answer) is waited for so long and then left: it is nothing that anybody was told of,
/// and a stopped server must not stay. A backup's thread is its own and is not waited for: what it leaves in the
/// archive directory under a temporary name goes when the next archive is begun there.
fn to_the_end(node: impl Future<Output = Result<Duration, NodeError>>) -> Result<(), NodeError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(node);
    runtime.shutdown_timeout(*ended.as_ref().unwrap_or(&LINGER));
    ended.map(drop)
}

/// A runtime for one node; Raft has its own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, NodeError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| NodeError::new(Kind::Other, format!("cannot start threads: {error}")))
}

async fn run(
    options: &ServeOptions,
    node: &Opened,
    early: Option<TcpSocket>,
    listening: &dyn Fn(&Listening),
    tell: &mut dyn FnMut(Event),
) -> Result<Duration, NodeError> {
    let asked = options.listen.as_deref().or(node.listen.as_deref()).unwrap_or(LISTEN_DEFAULT);
    let asked = Listening::parse(asked)?;
    let failed = |error| NodeError::new(Kind::Other, format!("the listener: {error}"));
    let socket = early.map_or_else(|| take(asked.address), Ok)?;
    let listener = socket.listen(BACKLOG).map_err(|error| refused(asked.address, &error))?;
    let address = listener.local_addr().map_err(failed)?;
    if options.listen.is_some() {
        node.remember_listen(&Listen { addr: asked.to_string() })?;
    }
    let place = asked.at(address);
    let tls = node.tls(&place)?;
    listening(&place);
    let stopping = |error: std::io::Error| NodeError::new(Kind::Other, format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(stopping)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(stopping)?;
    let (stop, stopped) = watch::channel(false);
    let chores = tokio::spawn(chores(node.service.clone()));
    let _pid = options.pid_file.as_deref().map(PidFile::write).transpose()?;
    let calls = Calls::default();
    let serving = listen::serve(listener, tls, node.service.clone(), stopped, calls.clone());
    let mut serving = tokio::spawn(serving);
    tell(Event::Serving(Serving {
        vault_id: node.vault_id,
        address: place.server(),
        listen: address,
        names: crate::tls::names(&place),
    }));
    let mut asked = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let ended = tokio::select! {
        () = asked() => Ok(()),
        // It ends when it is told to, and not before.
        ended = &mut serving => Err(stopped_by_itself(ended.err())),
    };
    _ = stop.send(true);
    let mut linger = LINGER;
    if ended.is_ok() && tokio::time::timeout(AT_ONCE, &mut serving).await.is_err() {
        tell(Event::Stopping { calls: calls.under_way(), wait: listen::DRAIN });
        tokio::select! {
            _ = &mut serving => {}
            // What was acknowledged is durable: what is broken off here was never told to be done.
            () = asked() => linger = Duration::ZERO,
        }
    }
    chores.abort();
    ended.map(|()| linger)
}

/// A server that nobody can reach must not go on: whoever watches the process starts another one.
fn stopped_by_itself(why: Option<JoinError>) -> NodeError {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    NodeError::new(Kind::Internal, format!("the listener stopped{why}"))
        .next("start the server again")
}

/// What a node does for itself while it serves.
async fn chores(service: Arc<Service>) {
    match service.lost_jobs().await {
        Ok(0) => {}
        Ok(lost) => {
            tracing::warn!("{lost} backups were under way when the server ended, and failed")
        }
        Err(error) => tracing::warn!(%error, "lost backups were not recorded"),
    }
    service.audit_heads().await;
}

/// Takes an address for this process. Nobody can connect until it is listened on: clients of a server that
/// starts are refused, and try again.
pub(crate) fn take(address: SocketAddr) -> Result<TcpSocket, NodeError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let taken = socket.and_then(|socket| {
        // Connections of a server before this one, which linger, are in nobody's way (socket(7)).
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    });
    taken.map_err(|error| refused(address, &error))
}

/// The system does not let this process listen there.
fn refused(address: SocketAddr, error: &std::io::Error) -> NodeError {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            NodeError::new(Kind::InUse, format!("the address {address} is in use"))
                .next("stop what listens there, or choose another one with --listen ADDR")
        }
        _ => NodeError::new(Kind::BadInput, format!("cannot listen on {address}: {error}"))
            .next("choose an address of this host with --listen ADDR"),
    }
}

impl Opened {
    fn remember_listen(&self, listen: &Listen) -> Result<(), NodeError> {
        Ok(self.cluster().with_store(|store| store.put_local(Listen::KEY, &listen.to_bytes()))?)
    }
}

/// A file with this process's id, removed at a proper stop.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<Self, NodeError> {
        let text = format!("{}\n", std::process::id());
        // Who waits for the file reads a whole one.
        holdfast_fs::write_atomic(&Disk, path, text.as_bytes())?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_does_not_wait_for_a_thread_that_blocks() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let ended = to_the_end(async {
            let (begin, begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                begin.send(()).unwrap();
                held.recv_timeout(Duration::from_secs(120))
            });
            // One that has not begun is given up.
            begun.await.unwrap();
            Ok(Duration::ZERO)
        });
        assert_eq!(ended, Ok(()));
        assert!(hold.send(()).is_ok(), "it blocks still");
    }

    #[test]
    fn an_address_is_taken_once_and_nobody_waits_there() {
        let socket = take(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let early = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(early.kind(), std::io::ErrorKind::ConnectionRefused);
        let runtime = runtime().unwrap();
        let listener = runtime.block_on(async { socket.listen(BACKLOG) }).unwrap();
        let second = take(address).unwrap_err();
        assert_eq!(second.kind, Kind::InUse, "{second}");
        assert!(std::net::TcpStream::connect(address).is_ok());
        drop(listener);
        take(address).unwrap();
    }
}
