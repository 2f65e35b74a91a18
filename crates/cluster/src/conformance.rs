//! openraft's own storage suite, over the log and the state of this project.
//!
//! The suite installs one state's snapshot into another; both have no rows, which is as far as
//! installing goes without peers. It sleeps about eight seconds by itself.

use holdfast_fs::Disk;
use holdfast_machine::Head;
use holdfast_store::log::Log;
use holdfast_store::{Applied, DiskStore};
use holdfast_types::{Epoch, EpochId, Revision};
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::apply::{State, StateMachine};
use crate::logstore::LogStore;
use crate::types::TypeConfig;

/// Builds stores of their own, empty, in a directory that goes with them.
struct Fresh;

type Built = (TempDir, LogStore, StateMachine);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Fresh {
    async fn build(&self) -> Result<Built, StorageError<TypeConfig>> {
        let dir = TempDir::new().expect("a temporary directory");
        let id = EpochId([1; 16]);
        let epoch = Epoch { n: 1, id, parent: EpochId([0; 16]), base: Revision(1 << 40) };
        let (head, applied) = (Head::new(epoch), Applied::default());
        let loader = DiskStore::loader(Disk::shared(), &dir.path().join("state"), head, applied);
        let store = loader.expect("an empty store").finish(None).expect("an empty store");
        let (log, _) = Log::open(Disk::shared(), &dir.path().join("log")).expect("an empty log");
        let (log, _) =
            LogStore::start(log, crate::room::Faults::default()).expect("a writer thread");
        Ok((dir, log, StateMachine(State::new(store))))
    }
}

#[test]
fn openraft_storage_suite() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_time().build().expect("threads");
    runtime.block_on(Suite::test_all(Fresh)).expect("every case of the suite");
}
