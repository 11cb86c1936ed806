//! How a gossiped message spreads: a model of connections and of gossipsub with the mesh's
//! settings.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// Sessions beyond which a validator dials nobody.
const ENOUGH_SESSIONS: usize = 64;
/// Gossipsub's mesh: wanted, least, most.
const WANTED: usize = 4;
const LOW: usize = 2;
const HIGH: usize = 8;
/// Peers outside of its mesh that a validator tells of a message at each heartbeat: so many, or
/// this share of them.
const LAZY: usize = 3;
const LAZY_SHARE: f64 = 0.25;
/// Heartbeats at which a message is told of.
const ADVERTISED_TIMES: f64 = 3.0;
/// Bytes of a message id in such a list.
pub const ADVERTISED_BYTES: f64 = 22.0;
/// One-way delay of a link, in microseconds: a continent to half the world.
const DELAY_US: std::ops::Range<u64> = 10_000..150_000;
/// Time from a message's arrival to its passing on, in microseconds.
const CHECK_US: u64 = 300;
/// Messages that are followed.
const MESSAGES: usize = 200;

/// Bytes on the wire of one copy of a message: gossipsub's signed envelope, yamux, noise, TCP and
/// IP headers, and its share of acknowledgements.
pub fn wire_bytes(message: usize) -> f64 {
    message as f64 + 155.0 + 12.0 + 18.0 + 52.0 + 26.0
}

/// What became of the messages, as means over them and the receivers.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Connections of a validator.
    pub links: f64,
    /// Peers in its gossip mesh.
    pub mesh: f64,
    /// Copies of a message that reach a validator; one is needed.
    pub copies: f64,
    /// Links that the first copy went over.
    pub hops: f64,
    /// What 99% of first copies stay within.
    pub hops_p99: u32,
    /// The most of all: the more messages are followed, the more it is.
    pub most_hops: u32,
    /// Milliseconds within which 99% of receivers had it.
    pub delay_p99_ms: f64,
    /// Peers that a validator tells of a message's existence, all heartbeats together.
    pub advertisements: f64,
    /// Receivers that a message did not reach.
    pub missed: usize,
}

/// Who is connected to whom: everybody dials by chance until it has sessions enough; dials in are
/// taken.
fn connect(validators: usize, rng: &mut StdRng) -> Vec<BTreeSet<usize>> {
    let mut links = vec![BTreeSet::new(); validators];
    let mut dialling: Vec<usize> = (0..validators).collect();
    dialling.shuffle(rng);
    for one in dialling {
        let mut others: Vec<usize> = (0..validators).filter(|other| *other != one).collect();
        others.shuffle(rng);
        for other in others {
            if links[one].len() >= ENOUGH_SESSIONS {
                break;
            }
            links[one].insert(other);
            links[other].insert(one);
        }
    }
    links
}

/// Heartbeats until nobody wants more: who has too few peers grafts as many as it wants, who has
/// too many prunes.
fn graft(links: &[BTreeSet<usize>], rng: &mut StdRng) -> Vec<BTreeSet<usize>> {
    let mut mesh = vec![BTreeSet::<usize>::new(); links.len()];
    for _ in 0..20 {
        let mut order: Vec<usize> = (0..links.len()).collect();
        order.shuffle(rng);
        for one in order {
            if mesh[one].len() < LOW {
                let mut others: Vec<usize> = links[one].difference(&mesh[one]).copied().collect();
                others.shuffle(rng);
                for other in others {
                    if mesh[one].len() >= WANTED {
                        break;
                    }
                    if mesh[other].len() < HIGH {
                        mesh[one].insert(other);
                        mesh[other].insert(one);
                    }
                }
            }
            if mesh[one].len() > HIGH {
                let mut partners: Vec<usize> = mesh[one].iter().copied().collect();
                partners.shuffle(rng);
                for other in partners.split_off(WANTED) {
                    mesh[one].remove(&other);
                    mesh[other].remove(&one);
                }
            }
        }
    }
    mesh
}

/// A copy of a message on its way. Ordered by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: u64,
    to: usize,
    from: usize,
    hops: u32,
    /// The message was checked: pass it on now.
    checked: bool,
}

struct Message<'a> {
    links: &'a [BTreeSet<usize>],
    mesh: &'a [BTreeSet<usize>],
    /// One-way delays, the same in both directions.
    delays: &'a dyn Fn(usize, usize) -> u64,
}

/// When and over how many links the first copy came, and how many came.
#[derive(Clone, Default)]
struct Receipt {
    first: Option<(u64, u32)>,
    copies: u64,
    /// Who had it already when the check was done.
    senders: BTreeSet<usize>,
}

impl Message<'_> {
    fn spread(&self, author: usize) -> Vec<Receipt> {
        let mut receipts = vec![Receipt::default(); self.links.len()];
        let mut queue = BinaryHeap::new();
        // Flooding: the author sends to everybody it is connected to.
        for to in &self.links[author] {
            let at = (self.delays)(author, *to);
            queue.push(Reverse(Arrival { at, to: *to, from: author, hops: 1, checked: false }));
        }
        while let Some(Reverse(copy)) = queue.pop() {
            let receipt = &mut receipts[copy.to];
            if copy.checked {
                for to in self.mesh[copy.to]
                    .iter()
                    .filter(|to| **to != author && !receipt.senders.contains(to))
                {
                    let at = copy.at + (self.delays)(copy.to, *to);
                    queue.push(Reverse(Arrival {
                        at,
                        to: *to,
                        from: copy.to,
                        hops: copy.hops + 1,
                        checked: false,
                    }));
                }
                continue;
            }
            receipt.copies += 1;
            receipt.senders.insert(copy.from);
            if receipt.first.is_none() {
                receipt.first = Some((copy.at, copy.hops));
                queue.push(Reverse(Arrival { at: copy.at + CHECK_US, checked: true, ..copy }));
            }
        }
        receipts
    }
}

/// Lets messages of validators drawn by chance spread.
pub fn simulate(validators: usize, seed: u64) -> Spread {
    let mut rng = StdRng::seed_from_u64(seed ^ validators as u64);
    let links = connect(validators, &mut rng);
    let mesh = graft(&links, &mut rng);
    let salt: u64 = rng.random();
    let delays = |one: usize, other: usize| {
        let pair = (one.min(other) as u64) << 32 | one.max(other) as u64;
        // A fixed draw for each pair.
        StdRng::seed_from_u64(salt ^ pair).random_range(DELAY_US)
    };
    let message = Message { links: &links, mesh: &mesh, delays: &delays };
    let (mut copies, mut missed) = (0, 0);
    let (mut arrivals, mut hops) = (Vec::new(), Vec::new());
    for _ in 0..MESSAGES {
        let author = rng.random_range(0..validators);
        let receipts = message.spread(author);
        for (_, receipt) in receipts.iter().enumerate().filter(|(who, _)| *who != author) {
            copies += receipt.copies;
            match receipt.first {
                Some((at, over)) => {
                    arrivals.push(at);
                    hops.push(over);
                }
                None => missed += 1,
            }
        }
    }
    arrivals.sort_unstable();
    hops.sort_unstable();
    let mean = |sets: &[BTreeSet<usize>]| {
        sets.iter().map(BTreeSet::len).sum::<usize>() as f64 / sets.len() as f64
    };
    let outside = mean(&links) - mean(&mesh);
    Spread {
        links: mean(&links),
        mesh: mean(&mesh),
        copies: copies as f64 / arrivals.len() as f64,
        hops: f64::from(hops.iter().sum::<u32>()) / hops.len() as f64,
        hops_p99: hops[hops.len() * 99 / 100],
        most_hops: hops[hops.len() - 1],
        delay_p99_ms: arrivals[arrivals.len() * 99 / 100] as f64 / 1000.0,
        advertisements: ADVERTISED_TIMES * (outside * LAZY_SHARE).max(LAZY as f64).min(outside),
        missed,
    }
}
