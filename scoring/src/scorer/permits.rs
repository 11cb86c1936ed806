//! A counting semaphore for threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A fixed number of permits that are taken and returned.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// One permit. Dropping it returns it, also during a panic.
#[derive(Debug)]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    /// `count` permits, but at least one.
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), returned: Condvar::new() }
    }

    /// Waits for a permit.
    pub(crate) fn take(&self) -> Permit<'_> {
        let free = self.returned.wait_while(self.free(), |free| *free == 0);
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
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_that_many_are_in_at_a_time_and_a_panic_gives_its_turn_back() {
        let (permits, inside, most) = (Permits::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let (permits, inside, most) = (&permits, &inside, &most);
                scope.spawn(move || {
                    let work = std::panic::AssertUnwindSafe(|| {
                        let _permit = permits.take();
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
        let (_first, _second) = (permits.take(), permits.take());
    }
}
