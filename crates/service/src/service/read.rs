//! Reading records from a view.

use std::ops::ControlFlow;

use holdfast_machine::{ReadError, View, ViewExt as _};
use holdfast_records::{Enclave, EnclaveName, Record, RecordError, Stored, Vault};
use holdfast_types::{Kind, Name, Value};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Service;
use crate::Error;

/// The live record under `key`.
pub(crate) fn get<R: Record>(
    view: &(impl View + ?Sized),
    key: &[u8],
) -> Result<Option<Stored<R>>, Error> {
    let Some(value) = view.live(R::TABLE, key)? else { return Ok(None) };
    Ok(Some(stored(key, &value)?))
}

/// The live records whose keys begin with `prefix`, ascending.
pub(crate) fn list<R: Record>(
    view: &(impl View + ?Sized),
    prefix: &[u8],
) -> Result<Vec<Stored<R>>, Error> {
    let mut found = Vec::new();
    each(view, prefix, prefix, |record| {
        found.push(record);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Hands over the live records whose keys begin with `prefix`, from the key `from` on, ascending, until
/// `each` breaks.
pub(crate) fn each<R: Record>(
    view: &(impl View + ?Sized),
    prefix: &[u8],
    from: &[u8],
    mut each: impl FnMut(Stored<R>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut failed = None;
    view.scan(R::TABLE, from, &mut |key, value| {
        if !key.starts_with(prefix) {
            return ControlFlow::Break(());
        }
        if value.is_tombstone() {
            return ControlFlow::Continue(());
        }
        match stored(key, &value) {
            Ok(record) => each(record),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn stored<R: Record>(key: &[u8], value: &Value) -> Result<Stored<R>, Error> {
    let record = R::decode(value.schema, key, &value.body)?;
    Ok(Stored { rev: value.rev, at: value.at, record })
}

/// Runs what walks a whole table: calls that this thread would serve meanwhile go on on another.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The vault's own record.
pub(crate) fn vault(view: &(impl View + ?Sized)) -> Result<Stored<Vault>, Error> {
    get::<Vault>(view, &[])?.ok_or_else(|| Error::new(Kind::NoVault, "the state holds no vault"))
}

/// An enclave by its name.
pub(crate) fn enclave(view: &(impl View + ?Sized), name: &Name) -> Result<Stored<Enclave>, Error> {
    let by_name = get::<EnclaveName>(view, name.as_str().as_bytes())?;
    let found = match by_name {
        Some(found) => get::<Enclave>(view, found.record.enclave_id.as_bytes())?,
        None => None,
    };
    found.ok_or_else(|| {
        Error::missing(format!("there is no enclave {name}")).next("holdfast enclave ls")
    })
}

impl Service {
    /// Reads from this node's view; where a record is missing there, once more from a fresh one.
    pub(crate) async fn read<T>(
        &self,
        read: impl Fn(&dyn View) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.again_if_missing(|| read(&self.cluster.view())).await
    }

    /// Does `work` on what this node has; where a record is missing there, once more after catching up.
    pub(crate) async fn again_if_missing<T>(
        &self,
        work: impl Fn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match work() {
            Err(error) if error.miss => {
                self.catch_up().await?;
                work()
            }
            result => result,
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        let kind = match error {
            ReadError::Damaged { .. } => Kind::Damaged,
            ReadError::Io(_) => Kind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        let message = error.to_string();
        match error {
            RecordError::Schema { .. } => {
                Self::new(Kind::Newer, message).next("run the newer holdfast that wrote it")
            }
            RecordError::Key(_) | RecordError::Body(_) => Self::new(Kind::Damaged, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_walk_keeps_nobody_waiting() {
        let (send, heard) = std::sync::mpsc::channel();
        let walk = tokio::spawn(async move {
            tokio::spawn(async move { send.send(()) });
            aside(move || heard.recv_timeout(std::time::Duration::from_secs(60)))
        });
        assert_eq!(walk.await.unwrap(), Ok(()), "the other call was served meanwhile");
    }
}
