//! Memory for request bodies that are large: lent to callers who may make the call, none of whom has all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_service::Error;
use holdfast_types::limits::REQUEST_BODY_BYTES_MAX;
use holdfast_types::{IdentityId, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Bodies up to here are small: they need no room and never wait.
pub(crate) const SMALL_BYTES_MAX: u64 = 16 << 10;
/// What all larger ones may take at once: connections alone bound it far too high (4096, each with 128
/// requests, of 2 MiB). More wait, unread. One that waits must not stop the others of its connection: the node
/// gives each stream a window of its own (`listen` there).
const BYTES_MAX: usize = 64 << 20;
/// What those of one identity may take of it: eight of the largest.
const SHARE_BYTES_MAX: usize = BYTES_MAX / 4;
/// How long one waits for room.
const WAIT: Duration = Duration::from_secs(60);

/// The room of this process.
pub(crate) static ROOM: Room = Room::new(BYTES_MAX, SHARE_BYTES_MAX);

/// Bytes to lend.
pub(crate) struct Room {
    all: Semaphore,
    share: usize,
    /// What is left to each of those who have some or wait for it.
    shares: Mutex<BTreeMap<Option<IdentityId>, Arc<Semaphore>>>,
}

/// Given back when dropped.
pub(crate) struct Lent<'a> {
    _all: SemaphorePermit<'a>,
    _own: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) const fn new(all: usize, share: usize) -> Self {
        let shares = Mutex::new(BTreeMap::new());
        Self { all: Semaphore::const_new(all), share, shares }
    }

    /// Waits for the room that a body of `size` may need; one that does not say it needs the most.
    pub(crate) async fn lend(
        &self,
        to: Option<IdentityId>,
        size: Option<u64>,
    ) -> Result<Lent<'_>, Error> {
        let most = u32::try_from(REQUEST_BODY_BYTES_MAX).unwrap_or(u32::MAX);
        let size =
            size.and_then(|size| u32::try_from(size).ok()).map_or(most, |size| size.min(most));
        let own = self.share_of(to);
        let lent = async {
            // First the own share: who has used that up does not stand in the others' way.
            let own = own.acquire_many_owned(size).await.ok()?;
            Some(Lent { _all: self.all.acquire_many(size).await.ok()?, _own: own })
        };
        tokio::time::timeout(WAIT, lent).await.ok().flatten().ok_or_else(|| {
            Error::new(Kind::Unavailable, "too many large request bodies are under way")
                .next("repeat the command later; what is smaller than 16 KiB goes on")
        })
    }

    fn share_of(&self, identity: Option<IdentityId>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has or waits for some holds its share, too.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let new = || Arc::new(Semaphore::new(self.share));
        Arc::clone(shares.entry(identity).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MIB: usize = 1 << 20;
    const SOON: Duration = Duration::from_millis(1);

    fn who(n: u8) -> Option<IdentityId> {
        Some(IdentityId([n; 32]))
    }

    impl Room {
        pub(crate) fn free(&self) -> usize {
            self.all.available_permits()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_has_all_of_it() {
        let room = Room::new(8 * MIB, 4 * MIB);
        let lend = |who, mib: u64| room.lend(who, Some(mib << 20));
        let first = lend(who(1), 2).await.unwrap();
        let _second = lend(who(1), 2).await.unwrap();
        let mut third = std::pin::pin!(lend(who(1), 1));
        assert!(timeout(SOON, third.as_mut()).await.is_err(), "its share is used up");
        let _other = lend(who(2), 2).await.unwrap();
        assert_eq!(room.free(), 2 * MIB, "others have theirs");
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told() {
        let room = Room::new(3 * MIB, 3 * MIB);
        let endless = room.lend(who(1), None).await.unwrap();
        assert_eq!(room.free(), MIB, "it did not say how long it is");
        let late = room.lend(who(2), Some(2 << 20)).await.err().unwrap();
        assert_eq!(late.kind, Kind::Unavailable);
        drop(endless);
        room.lend(who(2), Some(2 << 20)).await.unwrap();
        assert_eq!(room.free(), 3 * MIB);
        assert!(room.shares.lock().unwrap().len() <= 2);
        room.lend(who(3), Some(1)).await.unwrap();
        assert_eq!(room.shares.lock().unwrap().len(), 1, "nothing is kept of who left");
    }
}
