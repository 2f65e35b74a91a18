//! Raft's own threads: nothing that the rest of the process does may delay a heartbeat.

use std::future::Future;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::ClusterError;

/// Raft's core and its state machine may be busy at the same time.
const WORKERS: usize = 2;

/// A runtime on its own thread. Its tasks end when this is stopped or dropped.
pub(crate) struct Runtime {
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Starts the threads.
    pub(crate) fn start() -> Result<Self, ClusterError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("raft")
            .enable_time()
            .build()
            .map_err(ClusterError::Threads)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // A runtime may not be dropped inside another one; here nobody else's code runs.
        let thread = std::thread::Builder::new()
            .name("raft-main".to_owned())
            .spawn(move || {
                // Stopped, or the owner is gone: both mean the end.
                let _ = runtime.block_on(stopped);
            })
            .map_err(ClusterError::Threads)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future there and waits for it on this thread, which may belong to another runtime.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let (send, receive) = mpsc::channel();
        self.handle.spawn(async move {
            // The caller waits below.
            let _ = send.send(future.await);
        });
        receive.recv().ok()
    }

    /// Ends every task and waits until they are gone.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A receiver that is gone has stopped already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the cluster's runtime panicked");
        }
    }
}
