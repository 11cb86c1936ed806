//! Work on many videos, on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::anyhow;

/// Videos in hand at a time at most: each takes a quarter of a gigabyte.
const MOST_AT_A_TIME: usize = 8;

/// What `work` makes of each item, in the items' order. As many are in hand as there are cores:
/// making a video keeps one core busy, and measuring one does not keep all.
///
/// # Errors
/// The work on an item failed; the first of these in the items' order. Nothing new is begun then.
pub(super) fn spread<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.push((at, result));
        }
        done
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_AT_A_TIME);
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(take)).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let done = done.map_err(|_panic| anyhow!("a thread that scores videos panicked"))?;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_and_a_failure_ends_the_work() {
        let items: Vec<u32> = (0..50).collect();
        let doubled = spread(&items, |item| Ok(2 * item)).unwrap();
        assert_eq!(doubled, (0..50).map(|item| 2 * item).collect::<Vec<u32>>());
        let failed =
            spread(&items, |item| if *item == 3 { Err(anyhow!("no {item}")) } else { Ok(()) });
        assert_eq!(failed.unwrap_err().to_string(), "no 3");
    }
}
