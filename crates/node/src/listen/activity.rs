//! What a connection is doing: how many requests are under way, and since when none is.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The activities of all connections: to count calls under way, at a stop.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Weak<Activity>>>>);

impl Calls {
    /// How many calls are under way: from a request's head to the end of its reply.
    pub(crate) fn under_way(&self) -> usize {
        let of = |activity: &Weak<Activity>| activity.upgrade().map_or(0, |one| one.under_way());
        self.0.lock().iter().map(of).sum()
    }

    fn add(&self, activity: &Arc<Activity>) {
        let mut all = self.0.lock();
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
            // Room for as many again, so that few of those who come look at all.
            let room = all.len().max(16);
            all.reserve(room);
        }
        all.push(Arc::downgrade(activity));
    }
}

/// What one connection does. Counted without a lock, and without what other connections write to: every request
/// passes here.
pub(super) struct Activity {
    begun: Instant,
    under_way: AtomicUsize,
    /// When the last request ended, in milliseconds after `begun`.
    ended_ms: AtomicU64,
}

/// A request under way, until its answer was sent.
pub(super) struct Request(Arc<Activity>);

impl Activity {
    /// Of a new connection, one of `calls`.
    pub(super) fn begin(calls: &Calls) -> Arc<Self> {
        let (under_way, ended_ms) = (AtomicUsize::new(0), AtomicU64::new(0));
        let activity = Arc::new(Self { begun: Instant::now(), under_way, ended_ms });
        calls.add(&activity);
        activity
    }

    /// One more.
    pub(super) fn request(self: &Arc<Self>) -> Request {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        Request(Arc::clone(self))
    }

    fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way() > 0
    }

    /// Since when it is silent, where no request is under way.
    fn ended(&self) -> Instant {
        self.begun + Duration::from_millis(self.ended_ms.load(Ordering::Acquire))
    }

    /// Least for whoever is needed least: who is silent for long before who works.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (self.is_busy(), self.ended())
    }

    /// Returns once no request was under way for `idle`.
    pub(super) async fn idle_for(&self, idle: Duration) {
        loop {
            let since = if self.is_busy() { Instant::now() } else { self.ended() };
            if since.elapsed() >= idle {
                return;
            }
            tokio::time::sleep_until(since + idle).await;
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let ended = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(ended, Ordering::Release);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The body of an answer: when it was sent, or nobody takes it any more, the request is over.
pub(super) struct Answer<B> {
    pub(super) body: B,
    pub(super) _request: Request,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn connections_that_ended_are_forgotten() {
        let calls = Calls::default();
        let lasting = Activity::begin(&calls);
        let _request = lasting.request();
        for _ in 0..1000 {
            let one = Activity::begin(&calls);
            let _request = one.request();
            assert_eq!(calls.under_way(), 2);
        }
        assert_eq!(calls.under_way(), 1);
        assert!(calls.0.lock().len() < 100);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_only_after_the_last_request() {
        let calls = Calls::default();
        let activity = Activity::begin(&calls);
        let begun = Instant::now();
        activity.idle_for(MINUTE).await;
        assert_eq!(begun.elapsed(), MINUTE, "nothing was ever asked");

        let (first, second) = (activity.request(), activity.request());
        assert_eq!(calls.under_way(), 2);
        let ended = async {
            sleep(3 * MINUTE).await;
            drop(first);
            sleep(MINUTE / 2).await;
            drop(second);
            Instant::now()
        };
        let (ended, ()) = tokio::join!(ended, activity.idle_for(MINUTE));
        assert_eq!((ended.elapsed(), calls.under_way()), (MINUTE, 0));
        assert!(timeout(MINUTE / 2, activity.idle_for(2 * MINUTE)).await.is_err());
        activity.idle_for(2 * MINUTE).await;
        assert_eq!(ended.elapsed(), 2 * MINUTE);
    }
}
