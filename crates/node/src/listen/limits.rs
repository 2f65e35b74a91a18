//! What a listener lends to anybody: every number, with its reason. `holdfast server --help` names those that an
//! operator meets.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// How long a client may take from its connection until it is known who it is: the TLS handshake, and a look
/// into the state.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection of somebody unknown is kept: a probe needs a moment.
pub(super) const STRANGER: Duration = Duration::from_secs(60);
/// How long a stranger may be silent before and between requests, and take for one's head.
pub(super) const STRANGER_IDLE: Duration = Duration::from_secs(10);
/// The same for callers that the vault knows: longer than clients keep connections for the next call.
pub(super) const KNOWN_IDLE: Duration = Duration::from_secs(5 * 60);
/// An HTTP/2 connection whose peer does not answer a ping is gone.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);
pub(super) const PING_ANSWER: Duration = Duration::from_secs(20);
/// How long requests under way may take after their connection was asked to end: at a stop, or because whoever
/// calls was removed.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);
/// The same where no request is under way: for a last word.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// After which another connection is asked to make room where the first one takes its time.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);
/// After an accept that failed for want of file descriptors, so that the loop does not spin.
pub(super) const BREATH: Duration = Duration::from_millis(50);

/// Most connections at once, where the system lends that many files.
const CONNECTIONS_MAX: usize = 4096;

/// How many connections there may be at once, of each class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Places {
    /// Of which it is not known yet who they are. So many must come while a handshake is under way to crowd
    /// it out, and only from where it comes from.
    pub(super) handshakes: usize,
    /// Of strangers: probes.
    pub(super) strangers: usize,
    /// Of callers that the vault knows.
    pub(super) known: usize,
    /// Of one of those.
    pub(super) identity: usize,
}

impl Places {
    /// Connections leave half of the files that the system lends to the store, the log and archives.
    pub(super) fn here() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(usize::try_from(files / 2).unwrap_or(CONNECTIONS_MAX).clamp(8, CONNECTIONS_MAX))
    }

    fn of(all: usize) -> Self {
        let (handshakes, strangers) = (all / 8, all / 8);
        let known = all - handshakes - strangers;
        Self { handshakes, strangers, known, identity: known / 2 }
    }
}

/// What one connection may cost. Streams and heads are those of HTTP/2; HTTP/1.1 has one request at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most requests at once (RFC 9113 §5.1.2).
    pub(super) streams_max: u32,
    /// Largest head of a request in HTTP/2, in bytes after decompression (RFC 9113 §6.5.2; whatever number of
    /// CONTINUATION frames it comes in). In memory it may take four times that: many small fields.
    pub(super) header_list_bytes_max: u32,
    /// Largest head in HTTP/1.1, with its buffer.
    pub(super) head_bytes_max: usize,
    /// What a client may send on one stream before it is read. A large body may have to wait for room in
    /// memory (`api`), and is not read meanwhile.
    pub(super) stream_window: u32,
    /// How long it may be silent before and between requests, and take for one's head.
    pub(super) idle: Duration,
}

impl Bounds {
    pub(super) const KNOWN: Self = Self {
        streams_max: 128,
        header_list_bytes_max: 16 << 10,
        head_bytes_max: 64 << 10,
        stream_window: 32 << 10,
        idle: KNOWN_IDLE,
    };
    /// Anybody may connect, in hundreds: what is left is enough for a probe. Their bodies are thrown away.
    pub(super) const STRANGER: Self = Self {
        streams_max: 2,
        header_list_bytes_max: 4 << 10,
        // The least that hyper takes.
        head_bytes_max: 8 << 10,
        stream_window: 8 << 10,
        idle: STRANGER_IDLE,
    };
    /// Most streams that a client has opened and reset before they were served.
    pub(super) const RESETS_MAX: usize = 32;

    /// What a client may send on a whole connection: so much that streams that wait cannot fill it, or those
    /// that are read would stand still behind them, with room that nobody else gets. Besides, a client may have
    /// sent so much before it knows of the smaller window (RFC 9113 §6.9.2).
    pub(super) const fn connection_window(&self) -> u32 {
        self.streams_max * self.stream_window + (64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_places_however_few_files_there_are() {
        let check = |all: usize, handshakes: usize, strangers: usize, known: usize| {
            let places = Places { handshakes, strangers, known, identity: known / 2 };
            assert_eq!(Places::of(all), places, "{all}");
        };
        check(8, 1, 1, 6);
        check(60, 7, 7, 46);
        check(512, 64, 64, 384);
        check(4096, 512, 512, 3072);
    }
}
