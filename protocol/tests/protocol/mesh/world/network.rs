//! Links, streams and gossip between validators: what libp2p does outside of the simulation.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::Digest;
use leoma_protocol::codec::Wire as _;
use leoma_protocol::hello::PeerIdBytes;
use leoma_protocol::mesh::core::{CatchupPage, DialTarget, Effect, Event, Judgement, Token};
use leoma_protocol::messages::{Address, Gossip, Topic};
use rand::Rng as _;
use rand::seq::SliceRandom as _;

use super::{Happening, World};

/// Peers that a validator passes gossip on to, as many as gossipsub's mesh has.
const FORWARDS: usize = 4;
/// Old gossip that liars keep for replaying.
const MAX_RECORDED: usize = 200;
/// Of so many catch-up streams, one carries encoded pages: the encoding has tests of its own.
const PAGES_ENCODED: u64 = 16;

/// What is to happen, soonest first in a heap; what is due at the same time, in the order in which
/// it was planned.
pub(super) struct Queue {
    pub(super) when: Duration,
    pub(super) order: u64,
    pub(super) happening: Happening,
}

impl Ord for Queue {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.when, other.order).cmp(&(self.when, self.order))
    }
}

impl PartialOrd for Queue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queue {}

/// A gossip message and its number: equal bytes on one topic have one number.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) number: usize,
    pub(super) topic: Topic,
    pub(super) bytes: Arc<[u8]>,
}

pub(super) fn peer(number: usize) -> PeerIdBytes {
    let mut bytes = [7; 38];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerIdBytes::new(&bytes).unwrap()
}

fn number_of(peer: &PeerIdBytes) -> usize {
    u64::from_be_bytes(peer.as_slice()[..8].try_into().unwrap()) as usize
}

pub(super) fn place(number: usize) -> Address {
    Address::new(format!("/sim/{number}")).unwrap()
}

/// A page after a journey as bytes.
fn encoded(page: &CatchupPage) -> CatchupPage {
    let bytes = page.to_wire().expect("a page fits");
    CatchupPage::from_wire(&bytes).expect("a page reads back")
}

impl World {
    fn delay(&mut self) -> Duration {
        let most = self.setup.most_delay.as_millis() as u64;
        Duration::from_millis(self.rng.random_range(10..=most.max(11)))
    }

    fn lossy(&mut self) -> bool {
        let lost = !self.calm && self.rng.random_range(0..100) < self.setup.loss_percent;
        self.faults.lost += u64::from(lost);
        lost
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn send(&mut self, to: usize, event: Event) {
        let life = self.members[to].life;
        let wait = self.delay();
        self.after(wait, Happening::Event { to, life, event: Box::new(event) });
    }

    /// Opens a stream and returns its token; nothing when the request is lost.
    fn open(&mut self, from: usize, to: usize) -> Option<Token> {
        let token = self.token();
        if self.lossy() || !self.members[from].links.contains(&to) {
            return None;
        }
        self.members[to].streams.insert(token, from);
        Some(token)
    }

    /// Hands an event to a validator and carries out what it decides.
    pub(super) fn feed(&mut self, number: usize, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.members[number].core.handle(self.now, event) {
                events.extend(self.carry_out(number, effect));
            }
        }
    }

    pub(super) fn publish(&mut self, number: usize, message: Gossip) {
        let (_, effects) = self.members[number]
            .core
            .publish(self.now, message)
            .expect("its own messages are good");
        for effect in effects {
            if let Some(event) = self.carry_out(number, effect) {
                self.feed(number, event);
            }
        }
    }

    fn carry_out(&mut self, number: usize, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Dial { target, .. } => {
                let to = match &target {
                    DialTarget::Peer(peer) => number_of(peer),
                    DialTarget::Address(address) => {
                        address.as_str().rsplit('/').next()?.parse().ok()?
                    }
                };
                let (life, wait) = (self.members[number].life, self.delay());
                self.after(wait, Happening::DialArrives { from: number, life, to, target });
            }
            Effect::SendHello { peer, hello } => match self.open(number, number_of(&peer)) {
                Some(token) => self.send(
                    number_of(&peer),
                    Event::Hello { peer: self::peer(number), token, hello },
                ),
                None => self.send(number, Event::HelloAnswered { peer, answer: None }),
            },
            Effect::AnswerHello { token, answer } => {
                let to = self.members[number].streams.remove(&token)?;
                self.send(to, Event::HelloAnswered { peer: peer(number), answer: Some(answer) });
            }
            Effect::AskCatchup { peer, request } => match self.open(number, number_of(&peer)) {
                Some(token) => {
                    self.send(
                        number_of(&peer),
                        Event::CatchupAsked { peer: self::peer(number), token, request },
                    );
                }
                None => self.send(number, Event::CatchupAnswered { peer, page: None }),
            },
            Effect::AnswerCatchup { token, page } => {
                let to = self.members[number].streams.remove(&token)?;
                let page = page.map(|page| {
                    if token.0.is_multiple_of(PAGES_ENCODED) { encoded(&page) } else { page }
                });
                self.send(to, Event::CatchupAnswered { peer: peer(number), page });
            }
            Effect::Publish { topic, bytes } => {
                let message = self.message(topic, bytes);
                self.record(&message);
                if self.members[number].links.is_empty() {
                    return Some(Event::NotPublished { topic, bytes: message.bytes.to_vec() });
                }
                self.sees(number, &message);
                for to in self.members[number].links.clone() {
                    self.gossip(number, to, &message);
                }
            }
            // The message's own delivery is what is judged: see `deliver`.
            Effect::Judge { .. } => {}
            Effect::Disconnect { peer, .. } => self.unlink(number, number_of(&peer)),
            Effect::Ban { peer } => {
                let other = number_of(&peer);
                self.members[number].banned.insert(other);
                self.unlink(number, other);
            }
            Effect::Unban { peer } => {
                self.members[number].banned.remove(&number_of(&peer));
            }
            Effect::Tell(event) => self.told(number, event),
            Effect::Proven { .. }
            | Effect::Score { .. }
            | Effect::SendGrant { .. }
            | Effect::AnswerGrant { .. }
            | Effect::AnswerVerdict { .. } => {}
        }
        None
    }

    pub(super) fn message(&mut self, topic: Topic, bytes: Vec<u8>) -> Message {
        let number = self.messages.len();
        let id = Digest::of_parts(&[&[topic as u8], &bytes]);
        self.messages
            .entry(id)
            .or_insert_with(|| Message { number, topic, bytes: bytes.into() })
            .clone()
    }

    fn record(&mut self, message: &Message) {
        if self.recorded.len() < MAX_RECORDED {
            self.recorded.push(message.clone());
        } else if self.rng.random_range(0..20) == 0 {
            let slot = self.rng.random_range(0..MAX_RECORDED);
            self.recorded[slot] = message.clone();
        }
    }

    /// Whether a validator sees this message for the first time.
    fn sees(&mut self, who: usize, message: &Message) -> bool {
        let seen = &mut self.members[who].seen;
        if seen.len() <= message.number {
            seen.resize(message.number + 1, false);
        }
        !std::mem::replace(&mut seen[message.number], true)
    }

    pub(super) fn gossip(&mut self, from: usize, to: usize, message: &Message) {
        if self.lossy() {
            return;
        }
        let (life, wait) = (self.members[to].life, self.delay());
        self.after(wait, Happening::Gossip { to, life, from, message: message.clone() });
    }

    /// Hands gossip to a validator, and passes it on if it says so.
    pub(super) fn deliver(&mut self, to: usize, from: usize, message: &Message) {
        if !self.sees(to, message) {
            return;
        }
        self.deliveries += 1;
        let (topic, bytes) = (message.topic, message.bytes.to_vec());
        let event = Event::Gossip { source: peer(from), token: self.token(), topic, bytes };
        let effects = self.members[to].core.handle(self.now, event);
        let accept =
            |effect: &Effect| matches!(effect, Effect::Judge { judgement: Judgement::Accept, .. });
        let accepted = effects.iter().any(accept);
        for effect in effects {
            if let Some(event) = self.carry_out(to, effect) {
                self.feed(to, event);
            }
        }
        if !accepted {
            return;
        }
        if self.members[to].byzantine && !self.calm {
            self.faults.withheld += 1;
            return;
        }
        let mut others: Vec<usize> =
            self.members[to].links.iter().copied().filter(|other| *other != from).collect();
        let (chosen, _) = others.partial_shuffle(&mut self.rng, FORWARDS);
        for other in chosen {
            self.gossip(to, *other, message);
        }
    }

    fn reachable(&self, one: usize, other: usize) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups[one] == groups[other])
    }

    pub(super) fn link(&mut self, from: usize, to: usize, target: DialTarget) {
        let refused =
            self.members[to].banned.contains(&from) || self.members[from].banned.contains(&to);
        if from == to
            || refused
            || !self.reachable(from, to)
            || self.members[from].links.contains(&to)
        {
            self.feed(from, Event::DialFailed { target });
            return;
        }
        self.members[from].links.insert(to);
        self.members[to].links.insert(from);
        let (dialler, answerer) = (peer(from), peer(to));
        self.feed(
            to,
            Event::Connected { peer: dialler, address: place(from), outbound: false, target: None },
        );
        let target = Some(target);
        self.feed(
            from,
            Event::Connected { peer: answerer, address: place(to), outbound: true, target },
        );
        for topic in Topic::ALL {
            self.send(from, Event::Subscribed { peer: answerer, topic });
            self.send(to, Event::Subscribed { peer: dialler, topic });
        }
    }

    pub(super) fn unlink(&mut self, one: usize, other: usize) {
        if !self.members[one].links.remove(&other) {
            return;
        }
        self.members[other].links.remove(&one);
        for (to, from) in [(one, other), (other, one)] {
            let life = self.members[to].life;
            self.after(Duration::ZERO, Happening::Disconnected { to, life, from });
        }
    }

    /// Cuts the network in two.
    pub(super) fn part(&mut self, groups: Vec<bool>) {
        self.faults.partitions += 1;
        let cut: Vec<(usize, usize)> = (0..groups.len())
            .flat_map(|one| {
                self.members[one].links.iter().map(move |other| (one, *other)).collect::<Vec<_>>()
            })
            .filter(|(one, other)| one < other && groups[*one] != groups[*other])
            .collect();
        self.groups = Some(groups);
        cut.into_iter().for_each(|(one, other)| self.unlink(one, other));
    }
}
