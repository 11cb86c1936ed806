//! Turns to fetch a video from its bucket, and room to send it: limited in all, per visitor and per
//! bucket, so that no visitor or bucket holds up the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leoma_protocol::{Hotkey, network_of};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Videos that are fetched at a time, each of at most 64 MiB.
const TURNS: usize = 6;
/// Of these from one bucket, and for one visitor.
const TURNS_OF_BUCKET: usize = 2;
const TURNS_OF_VISITOR: usize = 3;
/// KiB of pictures and videos that are being sent at a time: a hundred usual answers.
const ROOM_KIB: u32 = 256 * 1024;
/// Of these to one visitor: the largest video, or 25 usual answers.
const ROOM_KIB_OF_VISITOR: u32 = 64 * 1024;
/// How long a request waits for its turn, and again for room for what it fetched.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a video is not sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Busy {
    #[error("too many videos are being sent to you: try again in a moment")]
    Visitor,
    #[error("too many requests for this sampler's bucket: try again in a moment")]
    Bucket,
    #[error("too many videos are being sent: try again in a moment")]
    Everywhere,
}

/// A turn or room, which is taken until it is dropped.
pub(crate) type Permits = Vec<OwnedSemaphorePermit>;

/// The turns and the room.
#[derive(Debug)]
pub(crate) struct Videos {
    turns: Arc<Semaphore>,
    turns_of_bucket: Shares<Hotkey>,
    turns_of_visitor: Shares<IpAddr>,
    room: Arc<Semaphore>,
    room_of_visitor: Shares<IpAddr>,
}

impl Default for Videos {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TURNS)),
            turns_of_bucket: Shares::new(TURNS_OF_BUCKET),
            turns_of_visitor: Shares::new(TURNS_OF_VISITOR),
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            room_of_visitor: Shares::new(ROOM_KIB_OF_VISITOR as usize),
        }
    }
}

impl Videos {
    /// A turn to fetch from the bucket of `producer`, for the visitor at `address`.
    pub(crate) async fn turn(&self, address: IpAddr, producer: Hotkey) -> Result<Permits, Busy> {
        let until = Instant::now() + PATIENCE;
        let mut turn = Permits::new();
        // In this order, so that waiting for one's own share takes no turn from others.
        if let Some(visitor) = visitor_at(address) {
            let share = wait(self.turns_of_visitor.of(visitor), 1, until).await;
            turn.push(share.ok_or(Busy::Visitor)?);
        }
        let share = wait(self.turns_of_bucket.of(producer), 1, until).await;
        turn.push(share.ok_or(Busy::Bucket)?);
        let any = wait(Arc::clone(&self.turns), 1, until).await;
        turn.push(any.ok_or(Busy::Everywhere)?);
        Ok(turn)
    }

    /// Room for this many bytes on their way to the visitor at `address`, who still has a turn.
    pub(crate) async fn room(&self, address: IpAddr, bytes: usize) -> Result<Permits, Busy> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(ROOM_KIB_OF_VISITOR);
        let mut room = Permits::new();
        if let Some(visitor) = visitor_at(address) {
            // No request waits for a visitor that reads slowly.
            let share = self.room_of_visitor.of(visitor).try_acquire_many_owned(kib);
            room.push(share.map_err(|_| Busy::Visitor)?);
        }
        let any = wait(Arc::clone(&self.room), kib, Instant::now() + PATIENCE).await;
        room.push(any.ok_or(Busy::Everywhere)?);
        Ok(room)
    }
}

/// Who has a share; `None` for this machine, on which a proxy may ask for everybody.
fn visitor_at(address: IpAddr) -> Option<IpAddr> {
    Some(network_of(address)).filter(|network| !network.is_loopback())
}

async fn wait(
    permits: Arc<Semaphore>,
    number: u32,
    until: Instant,
) -> Option<OwnedSemaphorePermit> {
    timeout_at(until, permits.acquire_many_owned(number)).await.ok()?.ok()
}

/// The same number of permits for each key.
#[derive(Debug)]
struct Shares<K> {
    of_each: usize,
    in_use: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    fn new(of_each: usize) -> Self {
        Self { of_each, in_use: Mutex::new(HashMap::new()) }
    }

    /// The permits of `key`. Forgets keys whose permits all came back and are not waited for.
    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|_, permits| Arc::strong_count(permits) > 1);
        Arc::clone(in_use.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.of_each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn producer(n: u8) -> Hotkey {
        Hotkey::from_bytes([n; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_hangs_leaves_turns_for_others() {
        let videos = Videos::default();
        let mut hanging = Vec::new();
        for n in [1, 2] {
            hanging.push(videos.turn(visitor(n), producer(1)).await.unwrap());
        }
        let begun = Instant::now();
        assert_eq!(videos.turn(visitor(3), producer(1)).await.unwrap_err(), Busy::Bucket);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
        let other = videos.turn(visitor(3), producer(2)).await.unwrap();
        drop((hanging, other));
        let _again = videos.turn(visitor(3), producer(1)).await.unwrap();
        assert_eq!(videos.turns_of_bucket.in_use.lock().unwrap().len(), 1, "others are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn one_visitor_leaves_turns_and_room_for_others() {
        let videos = Videos::default();
        let mut taken = Vec::new();
        for n in 1..=3 {
            taken.push(videos.turn(visitor(1), producer(n)).await.unwrap());
        }
        assert_eq!(videos.turn(visitor(1), producer(4)).await.unwrap_err(), Busy::Visitor);
        taken.push(videos.turn(visitor(2), producer(4)).await.unwrap());

        let largest = 64 << 20;
        taken.push(videos.room(visitor(1), largest).await.unwrap());
        let begun = Instant::now();
        assert_eq!(videos.room(visitor(1), 1).await.unwrap_err(), Busy::Visitor);
        assert!(begun.elapsed().is_zero(), "it is not waited for");
        for n in 2..=4 {
            taken.push(videos.room(visitor(n), largest).await.unwrap());
        }
        assert_eq!(videos.room(visitor(5), 1).await.unwrap_err(), Busy::Everywhere);
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_on_this_machine_has_all_turns() {
        let videos = Videos::default();
        let mut taken = Vec::new();
        for (n, loopback) in (1..).zip(["127.0.0.1", "::1", "::ffff:127.0.0.1"].repeat(2)) {
            let address: IpAddr = loopback.parse().unwrap();
            taken.push(videos.turn(address, producer(n)).await.unwrap());
        }
        assert_eq!(taken.len(), TURNS);
        assert_eq!(videos.turn(visitor(1), producer(9)).await.unwrap_err(), Busy::Everywhere);
    }
}
