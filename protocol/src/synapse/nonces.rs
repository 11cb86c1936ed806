//! Accepts each nonce only once.
//!
//! The SDK remembers one nonce for each caller's process and takes only greater ones: if two
//! requests overtake each other, one is lost, and whoever invents processes fills its memory. Here
//! the newest nonces of each hotkey are remembered one by one, and below them lies a floor.
//! Forgetting a nonce raises the floor, so no nonce is accepted twice however many are forgotten,
//! and a caller that asks too often raises only its own floor.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::head::{VerifiedHead, longest_age};
use super::refusal::Refusal;
use crate::Hotkey;

/// Nonces that are remembered of one hotkey. A request is refused once this many of the same hotkey
/// have overtaken it.
pub const MAX_NONCES_OF_ONE: usize = 128;
/// Hotkeys that are remembered: four times the neurons of a subnet.
pub const MAX_CALLERS: usize = 1024;

/// The nonces that were taken.
#[derive(Debug)]
pub struct NonceStore {
    /// Nonces up to this one are not taken from anybody.
    floor: u64,
    longest_age: u64,
    callers: HashMap<Hotkey, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    floor: u64,
    nonces: BTreeSet<u64>,
}

impl Taken {
    fn newest(&self) -> u64 {
        self.nonces.last().copied().unwrap_or(self.floor)
    }
}

impl NonceStore {
    /// An empty store. `started` is the time in nanoseconds since 1970: what was signed before may
    /// have been taken before a restart, and is refused. `longest_timeout` is what
    /// [`super::RequestHead::check_fresh`] was given.
    #[must_use]
    pub fn new(started: u64, longest_timeout: Duration) -> Self {
        let longest_age = longest_age(longest_timeout);
        Self { floor: started, longest_age, callers: HashMap::new() }
    }

    /// Takes a verified request's nonce.
    ///
    /// # Errors
    /// [`Refusal::NotVerified`] where it was taken before, or may have been.
    pub fn take(&mut self, head: &VerifiedHead, now: u64) -> Result<(), Refusal> {
        self.take_nonce(head.caller(), head.nonce(), now)
    }

    fn take_nonce(&mut self, caller: Hotkey, nonce: u64, now: u64) -> Result<(), Refusal> {
        if nonce <= self.floor {
            return Err(Refusal::NotVerified("the nonce is older than this axon's memory"));
        }
        if !self.callers.contains_key(&caller) && self.callers.len() >= MAX_CALLERS {
            self.forget_one();
            // The floor may have come above this nonce.
            return self.take_nonce(caller, nonce, now);
        }
        let taken = self.callers.entry(caller).or_default();
        if nonce <= taken.floor {
            return Err(Refusal::NotVerified("newer nonces of this hotkey were taken"));
        }
        if !taken.nonces.insert(nonce) {
            return Err(Refusal::NotVerified("the nonce was taken before"));
        }
        // Older ones are not fresh: they need not be remembered.
        let horizon = now.saturating_sub(self.longest_age);
        while let Some(&oldest) = taken.nonces.first()
            && (taken.nonces.len() > MAX_NONCES_OF_ONE || oldest <= horizon)
        {
            taken.nonces.pop_first();
            taken.floor = oldest;
        }
        Ok(())
    }

    /// Forgets the hotkey that was silent for longest.
    fn forget_one(&mut self) {
        let silent = self.callers.iter().min_by_key(|(hotkey, taken)| (taken.newest(), **hotkey));
        let Some((hotkey, newest)) = silent.map(|(hotkey, taken)| (*hotkey, taken.newest())) else {
            return;
        };
        self.callers.remove(&hotkey);
        self.floor = self.floor.max(newest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_760_000_000 * SECOND;

    fn caller(number: u32) -> Hotkey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Hotkey::from_bytes(bytes)
    }

    fn store() -> NonceStore {
        NonceStore::new(START, Duration::from_secs(60))
    }

    #[test]
    fn overtaken_requests_are_taken_and_replays_are_not() {
        let mut store = store();
        for nonce in [5, 9, 7, 6, 8] {
            store.take_nonce(caller(1), START + nonce, START + 10).unwrap();
        }
        for nonce in [5, 7, 9] {
            assert!(store.take_nonce(caller(1), START + nonce, START + 10).is_err());
        }
        // Another hotkey's nonces are its own.
        store.take_nonce(caller(2), START + 7, START + 10).unwrap();
    }

    #[test]
    fn what_was_signed_before_the_start_is_refused() {
        assert!(store().take_nonce(caller(1), START, START + SECOND).is_err());
        assert!(store().take_nonce(caller(1), START - SECOND, START + SECOND).is_err());
    }

    #[test]
    fn a_caller_that_floods_raises_its_own_floor_only() {
        let mut store = store();
        store.take_nonce(caller(2), START + 1, START + 1).unwrap();
        for nonce in 1..=10 * MAX_NONCES_OF_ONE as u64 {
            store.take_nonce(caller(1), START + nonce, START + 1).unwrap();
        }
        assert_eq!(store.callers[&caller(1)].nonces.len(), MAX_NONCES_OF_ONE);
        assert!(store.take_nonce(caller(1), START + 2, START + 1).is_err());
        store.take_nonce(caller(2), START + 2, START + 1).unwrap();
    }

    #[test]
    fn hotkeys_without_number_take_bounded_memory_and_bring_nothing_back() {
        let mut store = store();
        for number in 0..3 * MAX_CALLERS as u32 {
            let nonce = START + 1 + u64::from(number);
            store.take_nonce(caller(number), nonce, nonce).unwrap();
        }
        assert_eq!(store.callers.len(), MAX_CALLERS);
        for number in 0..3 * MAX_CALLERS as u32 {
            let nonce = START + 1 + u64::from(number);
            assert!(store.take_nonce(caller(number), nonce, nonce).is_err(), "{number} again");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(
            requests in prop::collection::vec((0_u32..6, 1_u64..400), 0..2000),
        ) {
            let mut store = store();
            let mut taken = std::collections::HashSet::new();
            for (index, (number, offset)) in requests.into_iter().enumerate() {
                let now = START + index as u64 * SECOND / 20;
                let nonce = START + offset * SECOND / 4;
                if store.take_nonce(caller(number), nonce, now).is_ok() {
                    prop_assert!(taken.insert((number, nonce)));
                }
            }
        }
    }
}
