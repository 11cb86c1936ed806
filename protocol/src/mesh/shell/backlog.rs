//! Events that wait while the validator is busy.
//!
//! Where only the newest counts (a grant, an address book), it replaces the one before. Of events
//! about strangers, which anybody can cause, only a few are kept. So nobody can push out what the
//! validator must hear.

use std::collections::VecDeque;

use crate::mesh::core::MeshEvent;

/// Waiting events: a validator that is busy with a video for minutes loses nothing.
const MAX_EVENTS: usize = 16_384;
/// Waiting events that strangers can cause.
const MAX_ABOUT_STRANGERS: usize = 128;

/// Events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    events: VecDeque<MeshEvent>,
    about_strangers: usize,
    dropped: u64,
}

impl Backlog {
    /// Keeps an event. If the backlog is full, the oldest event is dropped and counted.
    pub(super) fn push(&mut self, event: MeshEvent) {
        if is_about_strangers(&event) {
            if self.about_strangers >= MAX_ABOUT_STRANGERS {
                return self.count_dropped();
            }
            self.about_strangers += 1;
        } else if let Some(before) =
            self.events.iter_mut().find(|before| is_replaced(before, &event))
        {
            *before = event;
            return;
        }
        self.events.push_back(event);
        if self.events.len() > MAX_EVENTS {
            self.pop();
            self.count_dropped();
        }
    }

    /// Takes out the oldest event.
    pub(super) fn pop(&mut self) -> Option<MeshEvent> {
        let event = self.events.pop_front()?;
        self.about_strangers -= usize::from(is_about_strangers(&event));
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn clear(&mut self) {
        (self.events, self.about_strangers) = (VecDeque::new(), 0);
    }

    fn count_dropped(&mut self) {
        self.dropped += 1;
        if self.dropped.is_power_of_two() {
            tracing::warn!(
                dropped = self.dropped,
                "the validator is too slow to take events, some were dropped"
            );
        }
    }
}

fn is_about_strangers(event: &MeshEvent) -> bool {
    matches!(event, MeshEvent::Refused { .. } | MeshEvent::Banned { hotkey: None, .. })
}

fn is_replaced(before: &MeshEvent, by: &MeshEvent) -> bool {
    match (before, by) {
        (MeshEvent::Grant { from: before, .. }, MeshEvent::Grant { from, .. }) => before == from,
        (MeshEvent::AddressBook(_), MeshEvent::AddressBook(_))
        | (MeshEvent::Outdated { .. }, MeshEvent::Outdated { .. })
        | (MeshEvent::Sequence(_), MeshEvent::Sequence(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GrantBytes;
    use crate::Hotkey;
    use crate::hello::{HelloRefusal, PeerIdBytes};
    use crate::mesh::core::RefusedBy;

    #[test]
    fn the_newest_grant_of_each_validator_waits() {
        let mut backlog = Backlog::default();
        let grant = |from: u8, bytes: &[u8]| {
            let (from, payload) =
                (Hotkey::from_bytes([from; 32]), GrantBytes::new(bytes.to_vec()).unwrap());
            MeshEvent::Grant { from, payload }
        };
        for number in 0..100 {
            backlog.push(grant(1, &[number]));
        }
        backlog.push(grant(2, b"another's"));
        let payload = |event: Option<MeshEvent>| match event {
            Some(MeshEvent::Grant { payload, .. }) => payload.into_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(payload(backlog.pop()), [99]);
        assert_eq!(payload(backlog.pop()), b"another's");
        assert!(backlog.is_empty() && backlog.dropped() == 0);
    }

    #[test]
    fn strangers_push_nothing_out() {
        let mut backlog = Backlog::default();
        let peer = PeerIdBytes::new(&[1]).unwrap();
        backlog.push(MeshEvent::PeerUp { hotkey: Hotkey::from_bytes([1; 32]), peer });
        for _ in 0..2 * MAX_EVENTS {
            backlog.push(MeshEvent::Refused {
                peer,
                reason: HelloRefusal::Banned,
                by: RefusedBy::Us,
            });
        }
        assert!(matches!(backlog.pop(), Some(MeshEvent::PeerUp { .. })));
        assert_eq!(std::iter::from_fn(|| backlog.pop()).count(), MAX_ABOUT_STRANGERS);
        assert_eq!(backlog.dropped(), (2 * MAX_EVENTS - MAX_ABOUT_STRANGERS) as u64);
        backlog.push(MeshEvent::Refused { peer, reason: HelloRefusal::Banned, by: RefusedBy::Us });
        assert!(!backlog.is_empty(), "there is room again");
    }
}
