//! The sealed tar of a backup on its way here, and why it broke off.

use std::time::Duration;

use bytes::Bytes;
use holdfast_api::wire;
use holdfast_types::Kind;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{Client, ClientError};

/// How long the server is asked why a tar broke off: it may be gone.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// The sealed tar of a backup on its way, on a connection of its own: other calls need not wait for it.
pub struct TarStream {
    job: String,
    body: Incoming,
    /// Has the connection of `body`.
    client: Client,
}

impl TarStream {
    pub(crate) fn new(job: &str, body: Incoming, client: Client) -> Self {
        Self { job: job.to_owned(), body, client }
    }

    /// The next piece; `None` at the proper end. After an error nothing follows: it is the reason that the server
    /// gives, or [`Kind::Unavailable`] where it gives none.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
                Err(error) => return Some(Err(self.why(&error).await)),
            }
        }
    }

    /// A reply whose head was sent can only break off. Why it did stands in the backup's state.
    async fn why(&mut self, error: &hyper::Error) -> ClientError {
        let path = format!("/backups/{}", self.job);
        let state = self.client.get::<wire::BackupState>(&path);
        match tokio::time::timeout(ASKED_FOR, state).await {
            Ok(Ok(state)) if state.state == "failed" => failed_backup(state),
            _ => ClientError::new(Kind::Unavailable, format!("the backup broke off: {error}"))
                .next("see with holdfast status whether the vault serves, then back up again"),
        }
    }
}

/// The failure that the state of a failed backup tells.
#[must_use]
pub fn failed_backup(state: wire::BackupState) -> ClientError {
    // A newer server may know kinds that this client does not.
    let kind = state.code.and_then(|code| code.parse().ok()).unwrap_or(Kind::Other);
    let why = state.message.unwrap_or_else(|| "no reason given".to_owned());
    ClientError { kind, message: format!("the backup failed: {why}"), next: state.next }
}
