//! Places for requests under way: few for each hotkey, a bounded number in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use leoma_protocol::Hotkey;
use leoma_protocol::synapse::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

#[derive(Debug)]
pub(super) struct Places {
    in_all: Arc<Semaphore>,
    of_one: usize,
    /// How many each hotkey has or waits for.
    taken: Mutex<HashMap<Hotkey, usize>>,
}

impl Places {
    pub(super) fn new(in_all: usize, of_one: usize) -> Arc<Self> {
        let in_all = Arc::new(Semaphore::new(in_all.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { in_all, of_one, taken: Mutex::default() })
    }

    /// A place for `caller`. If all are taken, waits for one until `deadline`; waiters are served
    /// in order.
    pub(super) async fn enter(
        self: &Arc<Self>,
        caller: Hotkey,
        deadline: Instant,
    ) -> Result<Place, Refusal> {
        let own = self.take_own(caller).ok_or(Refusal::CallerBusy)?;
        let shared = Arc::clone(&self.in_all).acquire_owned();
        match timeout_at(deadline, shared).await {
            Ok(Ok(shared)) => Ok(Place { _own: own, _shared: shared }),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Refusal::Busy),
        }
    }

    fn take_own(self: &Arc<Self>, caller: Hotkey) -> Option<OwnPlace> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.entry(caller).or_insert(0);
        if *number >= self.of_one {
            return None;
        }
        *number += 1;
        Some(OwnPlace { places: Arc::clone(self), caller })
    }
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _own: OwnPlace,
    _shared: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct OwnPlace {
    places: Arc<Places>,
    caller: Hotkey,
}

impl Drop for OwnPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.caller) {
            Some(number) if *number > 1 => *number -= 1,
            _ => drop(taken.remove(&self.caller)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn caller(number: u8) -> Hotkey {
        Hotkey::from_bytes([number; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn one_hotkey_has_few_places_and_the_others_wait_their_turn() {
        let places = Places::new(3, 2);
        let soon = Instant::now() + Duration::from_secs(1);
        let first = places.enter(caller(1), soon).await.unwrap();
        let second = places.enter(caller(1), soon).await.unwrap();
        let refused = places.enter(caller(1), soon).await.unwrap_err();
        assert_eq!(refused, Refusal::CallerBusy);
        let third = places.enter(caller(2), soon).await.unwrap();
        assert_eq!(places.enter(caller(3), soon).await.unwrap_err(), Refusal::Busy);
        let later = Instant::now() + Duration::from_secs(9);
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.enter(caller(3), later).await }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(first);
        let fourth = waiting.await.unwrap().unwrap();
        drop((second, third, fourth));
        assert!(places.taken.lock().unwrap().is_empty());
        assert_eq!(places.in_all.available_permits(), 3);
    }
}
