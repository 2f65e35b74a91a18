//! What a connection is doing: how many requests are under way, and since when none is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The calls under way: from a request's head to the end of its reply.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// How many there are.
    pub(crate) fn under_way(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one connection does. Counted without a lock: every request passes here.
pub(super) struct Activity {
    begun: Instant,
    under_way: AtomicU32,
    /// When the last request ended, in milliseconds after `begun`.
    ended_ms: AtomicU64,
}

/// A request under way, until its answer was sent.
pub(super) struct Request(Arc<Activity>, Calls);

impl Activity {
    pub(super) fn begin() -> Arc<Self> {
        let (under_way, ended_ms) = (AtomicU32::new(0), AtomicU64::new(0));
        Arc::new(Self { begun: Instant::now(), under_way, ended_ms })
    }

    /// One more, counted in `calls` as well.
    pub(super) fn request(self: &Arc<Self>, calls: &Calls) -> Request {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        calls.0.fetch_add(1, Ordering::Relaxed);
        Request(Arc::clone(self), calls.clone())
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Ordering::Acquire) > 0
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
        self.1.0.fetch_sub(1, Ordering::Relaxed);
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

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_only_after_the_last_request() {
        let activity = Activity::begin();
        let begun = Instant::now();
        activity.idle_for(MINUTE).await;
        assert_eq!(begun.elapsed(), MINUTE, "nothing was ever asked");

        let calls = Calls::default();
        let (first, second) = (activity.request(&calls), activity.request(&calls));
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
