//! A bounded crowd of connections, each in somebody's name (an address, an identity). Whoever comes when it is
//! full takes the place of another one: of the name that has most, the one that is silent longest. So a name with
//! few connections never loses one to a name with many.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::activity::Activity;
use super::limits::ASK_AGAIN;

/// The crowd.
pub(super) struct Crowd<K> {
    places: Arc<Semaphore>,
    /// Most connections in one name.
    share_max: usize,
    guests: Mutex<Guests<K>>,
}

struct Guests<K> {
    next: u64,
    all: BTreeMap<u64, Guest<K>>,
    /// How many each name has, those that wait for a place and none that were asked to leave.
    counts: HashMap<K, usize>,
}

struct Guest<K> {
    name: K,
    activity: Arc<Activity>,
    leave: Arc<Notify>,
    seated: bool,
    asked: bool,
}

/// A place in it, free again when this is dropped.
pub(super) struct Place<K: Hash + Eq + Clone> {
    crowd: Arc<Crowd<K>>,
    number: u64,
    leave: Arc<Notify>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Hash + Eq + Clone> Crowd<K> {
    pub(super) fn new(places: usize, share_max: usize) -> Arc<Self> {
        let guests = Guests { next: 0, all: BTreeMap::new(), counts: HashMap::new() };
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Self { places, share_max, guests: Mutex::new(guests) })
    }

    /// A place in `name`'s name. Where there is none another connection is asked to leave, and its leaving waited
    /// for.
    pub(super) async fn enter(self: &Arc<Self>, name: K, activity: Arc<Activity>) -> Place<K> {
        let free = Arc::clone(&self.places).try_acquire_owned().ok();
        let leave = Arc::new(Notify::new());
        let mut place = {
            let mut guests = self.guests.lock();
            guests.make_room(&name, self.share_max, free.is_none());
            let name = name.clone();
            let guest = Guest { name, activity, leave: leave.clone(), seated: false, asked: false };
            let number = guests.add(guest);
            Place { crowd: Arc::clone(self), number, leave, permit: free }
        };
        if place.permit.is_none() {
            let mut permit = pin!(Arc::clone(&self.places).acquire_owned());
            place.permit = loop {
                match timeout(ASK_AGAIN, permit.as_mut()).await {
                    // They are never closed.
                    Ok(permit) => break permit.ok(),
                    Err(_) => self.guests.lock().make_room(&name, self.share_max, true),
                }
            };
        }
        if let Some(guest) = self.guests.lock().all.get_mut(&place.number) {
            guest.seated = true;
        }
        place
    }

    /// The names that have a place.
    pub(super) fn names(&self) -> Vec<K> {
        self.guests.lock().counts.keys().cloned().collect()
    }

    /// Asks all of a name's connections to leave.
    pub(super) fn let_go(&self, name: &K) {
        let mut guests = self.guests.lock();
        guests.counts.remove(name);
        let theirs = guests.all.values_mut().filter(|guest| !guest.asked && guest.name == *name);
        theirs.for_each(Guest::ask);
    }
}

impl<K: Hash + Eq + Clone> Guests<K> {
    fn add(&mut self, guest: Guest<K>) -> u64 {
        *self.counts.entry(guest.name.clone()).or_default() += 1;
        self.next += 1;
        self.all.insert(self.next, guest);
        self.next
    }

    fn remove(&mut self, number: u64) {
        if let Some(guest) = self.all.remove(&number).filter(|guest| !guest.asked) {
            self.count_one_less(&guest.name);
        }
    }

    fn count_one_less(&mut self, name: &K) {
        if let Some(count) = self.counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(name);
            }
        }
    }

    /// Asks one to leave where `name` has its share, or all places are taken.
    fn make_room(&mut self, name: &K, share_max: usize, full: bool) {
        let own = self.counts.get(name).copied().unwrap_or(0);
        let most = self.counts.values().copied().max().unwrap_or(0);
        if own >= share_max || full && own >= most {
            self.ask_one(|guest, _| guest.name == *name);
        } else if full {
            self.ask_one(|guest, counts| counts.get(&guest.name) == Some(&most));
        }
    }

    fn ask_one(&mut self, fits: impl Fn(&Guest<K>, &HashMap<K, usize>) -> bool) {
        let counts = &self.counts;
        let staying = self.all.values_mut().filter(|guest| guest.seated && !guest.asked);
        let silent = staying.filter(|guest| fits(guest, counts));
        let Some(guest) = silent.min_by_key(|guest| guest.activity.rank()) else { return };
        guest.ask();
        let name = guest.name.clone();
        self.count_one_less(&name);
    }
}

impl<K> Guest<K> {
    fn ask(&mut self) {
        self.asked = true;
        self.leave.notify_one();
    }
}

impl<K: Hash + Eq + Clone> Place<K> {
    /// Returns once the connection is to end.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl<K: Hash + Eq + Clone> Drop for Place<K> {
    fn drop(&mut self) {
        // Before the permit: whoever takes that finds it counted no more.
        self.crowd.guests.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{advance, timeout};

    use super::super::activity::Calls;
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    struct Test(Arc<Crowd<&'static str>>);

    impl Test {
        async fn enter(&self, name: &'static str) -> Place<&'static str> {
            // Each a little later than the one before.
            advance(Duration::from_secs(1)).await;
            self.0.enter(name, Activity::begin(&Calls::default())).await
        }

        /// Whoever comes when it is full waits for `leaves`, who is asked to go.
        #[track_caller]
        fn crowds_out<'a>(
            &'a self,
            name: &'static str,
            leaves: Place<&'static str>,
        ) -> impl Future<Output = Place<&'static str>> + 'a {
            let caller = std::panic::Location::caller();
            async move {
                let mut comes = std::pin::pin!(self.enter(name));
                assert!(timeout(SOON, comes.as_mut()).await.is_err(), "no place: {caller}");
                let asked = timeout(SOON, leaves.asked_to_leave()).await;
                assert!(asked.is_ok(), "another one is asked: {caller}");
                drop(leaves);
                comes.await
            }
        }
    }

    async fn stays(place: &Place<&'static str>) -> bool {
        timeout(SOON, place.asked_to_leave()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_one_of_the_name_with_most_makes_room() {
        let crowd = Test(Crowd::new(4, 4));
        let few = crowd.enter("few").await;
        let (first, second) = (crowd.enter("many").await, crowd.enter("many").await);
        let third = crowd.enter("many").await;
        let fourth = crowd.crowds_out("many", first).await;
        let _other = crowd.crowds_out("other", second).await;
        // All have few now: a newcomer takes the place of who has most, and many of its own.
        let fifth = crowd.crowds_out("many", third).await;
        assert!(stays(&few).await && stays(&fourth).await && stays(&fifth).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_works_is_asked_last() {
        let crowd = Test(Crowd::new(2, 2));
        let busy = Activity::begin(&Calls::default());
        let _request = busy.request();
        let works = crowd.0.enter("a", busy).await;
        let silent = crowd.enter("a").await;
        let new = crowd.crowds_out("b", silent).await;
        let _newer = crowd.crowds_out("c", new).await;
        assert!(stays(&works).await);
        // Where its own name has most it is asked after all.
        let _own = crowd.crowds_out("a", works).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_has_its_share_and_no_more() {
        let crowd = Test(Crowd::new(10, 2));
        let (first, second) = (crowd.enter("a").await, crowd.enter("a").await);
        let third = crowd.enter("a").await;
        assert!(!stays(&first).await && stays(&second).await && stays(&third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn many_newcomers_at_once_each_get_a_place_and_those_who_go_away_leave_nothing() {
        let crowd = Test(Crowd::new(3, 3));
        let mut old = Vec::new();
        for _ in 0..3 {
            old.push(crowd.enter("old").await);
        }
        let mut new = Vec::new();
        for name in ["x", "y", "z"] {
            let mut comes = Box::pin(crowd.enter(name));
            assert!(timeout(SOON, comes.as_mut()).await.is_err());
            new.push(comes);
        }
        drop(new.pop());
        for place in old {
            assert!(!stays(&place).await);
        }
        for comes in new {
            let place = comes.await;
            assert!(stays(&place).await);
        }
        let guests = crowd.0.guests.lock();
        assert_eq!((guests.all.len(), guests.counts.len()), (0, 0));
        assert_eq!(crowd.0.places.available_permits(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn all_of_a_name_are_asked_at_once() {
        let crowd = Test(Crowd::new(4, 4));
        let (a, b) = (crowd.enter("gone").await, crowd.enter("gone").await);
        let c = crowd.enter("stays").await;
        crowd.0.let_go(&"gone");
        assert!(!stays(&a).await && !stays(&b).await && stays(&c).await);
        assert_eq!(crowd.0.names(), ["stays"]);
    }
}
