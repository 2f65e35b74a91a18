//! One file per command. A command parses nothing: it calls, and prints.

pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod custodian;
pub(crate) mod drill;
pub(crate) mod enclave;
pub(crate) mod identity;
pub(crate) mod init;
pub(crate) mod key;
mod offline;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod server;
pub(crate) mod sheet;
pub(crate) mod slot;
pub(crate) mod status;
pub(crate) mod verify;

use std::future::Future;
use std::pin::Pin;

use holdfast_client::{Client, Context, default_path, others_may_read};
use holdfast_types::Kind;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Done;
use crate::cli::{Cli, Command, Global};
use crate::output::{self, Failure};

/// Runs the command that was given.
pub(crate) fn run(cli: &Cli) -> Done {
    let global = &cli.global;
    match &cli.command {
        Command::Init(init) => init.run(global),
        Command::Server(server) => server.run(global),
        Command::Completions(completions) => completions.run(global),
        Command::Verify(verify) => verify.run(global),
        Command::Drill(drill) => drill.run(global),
        Command::Restore(restore) => restore.run(global),
        Command::Key(key) => online(global, async |client| key.run(global, client).await),
        Command::Enclave(enclave) => online(global, async |c| enclave.run(global, c).await),
        Command::Policy(policy) => online(global, async |client| policy.run(global, client).await),
        Command::Identity(identity) => online(global, async |c| identity.run(global, c).await),
        Command::Custodian(custodian) => online(global, async |c| custodian.run(global, c).await),
        Command::Slot(slot) => online(global, async |client| slot.run(global, client).await),
        Command::Archive(archive) => online(global, async |c| archive.run(global, c).await),
        Command::Audit(audit) => online(global, async |client| audit.run(global, client).await),
        Command::Backup(backup) => to_the_end(global, async |c| backup.run(global, c).await),
        Command::Sheet(sheet) => online(global, async |client| sheet.run(global, client).await),
        Command::Status(status) => online(global, async |client| status.run(global, client).await),
    }
}

/// Runs a command that asks a server; Ctrl-C or SIGTERM ends it with 130.
fn online(global: &Global, command: impl AsyncFnOnce(&mut Client) -> Done) -> Done {
    to_the_end(global, async |client| until_interrupted(Box::pin(command(client))).await)
}

/// Runs a command that asks a server, and that minds interruptions itself.
fn to_the_end(global: &Global, command: impl AsyncFnOnce(&mut Client) -> Done) -> Done {
    let context = Context::load(global.context().as_deref())?;
    warn_of_readers(global, &context);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    let mut client = client(global, context);
    let work: Work<'_, ()> = Box::pin(command(&mut client));
    runtime.block_on(work)
}

/// What a command does, behind a pointer: waiting for it is compiled once and not for each command.
type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// Says where others may read the API key that is used.
fn warn_of_readers(global: &Global, context: &Context) {
    let path = global.context().or_else(default_path);
    let Some(path) = path.filter(|path| others_may_read(path)) else { return };
    if !(global.quiet || context.api_key.is_empty()) {
        let path = path.display();
        output::note(format!(
            "others than its owner may read the context {path}, which holds an API key: chmod 600 {path}"
        ));
    }
}

/// A client that says when a server lets itself be waited for.
fn client(global: &Global, context: Context) -> Client {
    let client = Client::new(context);
    if global.quiet || global.json { client } else { client.noting(|note| output::note(note)) }
}

/// What `work` gives, or that somebody asked for the end before.
async fn until_interrupted<T>(work: Work<'_, T>) -> Result<T, Failure> {
    // The work first: it may read standard input before it awaits anything, and until then an
    // interruption should simply end the process.
    tokio::select! {
        biased;
        done = work => done,
        asked = async { End::watch()?.asked().await } => asked,
    }
}

/// That somebody asks for the end: Ctrl-C (SIGINT) or SIGTERM, from when it is watched for.
struct End {
    interrupt: Signal,
    terminate: Signal,
}

impl End {
    /// The second one ends the process at once, also where a disk does not answer.
    fn watch() -> Result<Self, Failure> {
        holdfast_node::watch_interruptions()?;
        let failed = |error| Failure::io("signals", &error);
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate()).map_err(failed)? })
    }

    /// What `work` gives, or that somebody asked before.
    async fn or<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            asked = self.asked() => asked,
        }
    }

    async fn asked<T>(&mut self) -> Result<T, Failure> {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        Err(Failure::Interrupted)
    }
}

/// Refuses a data directory that is something else, before anything looks into it.
fn must_be_a_directory(data: &std::path::Path, kind: Kind) -> Done {
    if !data.exists() || data.is_dir() {
        return Ok(());
    }
    Err(Failure::new(kind, format!("{} is not a directory", data.display()))
        .next("choose another place with --data DIR"))
}

/// Reads a file or, for `-` or nothing, standard input; at most `max` bytes.
fn read_input(
    path: Option<&std::path::Path>,
    max: usize,
    too_large: &str,
) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    // At full size first: growing would leave pieces of it in freed memory.
    let mut bytes = Vec::with_capacity(max + 1);
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let read = match path.filter(|path| path.as_os_str() != "-") {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|error| Failure::io(path.display(), &error)),
        None => std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::io("standard input", &error)),
    };
    read?;
    if bytes.len() > max {
        let what =
            path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
        let message = format!("{what} is larger than {max} bytes");
        return Err(Failure::new(Kind::TooLarge, message).next(too_large));
    }
    Ok(bytes)
}
