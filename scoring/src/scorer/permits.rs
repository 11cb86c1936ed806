//! So many at a time, the others wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Permits that are given out and given back.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// One turn, given back when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    /// At least one.
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), given_back: Condvar::new() }
    }

    /// Waits for a turn.
    pub(crate) fn take(&self) -> Permit<'_> {
        let free = self.given_back.wait_while(self.free(), |free| *free == 0);
        *free.unwrap_or_else(PoisonError::into_inner) -= 1;
        Permit(self)
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_that_many_are_in_at_a_time_and_a_panic_gives_its_turn_back() {
        let (turns, inside, most) = (Permits::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (turns, inside, most) = (&turns, &inside, &most);
                scope.spawn(move || {
                    let work = std::panic::AssertUnwindSafe(|| {
                        let _turn = turns.take();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        inside.fetch_sub(1, Ordering::SeqCst);
                        assert!(n != 3, "one of them fails");
                    });
                    let _failed = std::panic::catch_unwind(work);
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
        let (_first, _second) = (turns.take(), turns.take());
    }
}
