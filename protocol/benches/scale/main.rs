//! What a mesh of 16 to 1 000 validators costs each of them: `cargo bench --features mesh --bench
//! scale`.
//!
//! How a message spreads is modelled (`spread.rs`): connections, gossipsub's mesh of 2 to 8 peers,
//! flooding by the author, delays. What a message then costs its receiver is measured on the real
//! core (`receiver.rs`), up to the 256 validators that an allowlist may have; of 1 000, only the
//! spread is known, and the cost of one message is taken to be that among 256. `--svg FILE` draws
//! the result. Everything follows from one seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    unreachable_pub,
    reason = "benchmark code"
)]

mod plot;
mod receiver;
mod spread;

use receiver::Receiver;
use spread::Spread;

const SIZES: [usize; 4] = [16, 64, 256, 1000];
/// Most validators of an allowlist, and so the largest core that can be measured.
const MOST_LISTED: usize = 256;
/// Seconds between two beacons of a validator.
const BEACON_SECONDS: f64 = 10.0;

/// The figures of one size.
#[derive(Debug)]
pub struct Row {
    pub validators: usize,
    pub spread: Spread,
    pub receiver: Receiver,
}

impl Row {
    /// Gossip messages of one file: its announcement, and everybody's attestation.
    pub fn messages(&self) -> f64 {
        self.validators as f64 + 1.0
    }

    /// Copies of one file's messages that reach a validator; its own do not.
    pub fn copies(&self) -> f64 {
        (self.messages() - 1.0) * self.spread.copies
    }

    /// Bytes on the wire that one file costs a validator, in either direction, in KiB.
    pub fn file_kib(&self) -> f64 {
        let advertised = self.messages() * self.spread.advertisements * spread::ADVERTISED_BYTES;
        (self.copies() * spread::wire_bytes(self.receiver.attestation_bytes) + advertised) / 1024.0
    }

    /// Bytes on the wire that beacons cost a validator each second, in KiB.
    pub fn beacon_kib(&self) -> f64 {
        let received = (self.validators as f64 - 1.0) / BEACON_SECONDS;
        received * self.spread.copies * spread::wire_bytes(self.receiver.beacon_bytes) / 1024.0
    }

    /// Milliseconds of one core that a file's messages cost a validator: each message once in the
    /// core, each copy once in gossipsub, which checks its envelope's signature.
    pub fn file_ms(&self) -> f64 {
        (self.messages() * self.receiver.attestation_us + self.copies() * self.receiver.envelope_us)
            / 1000.0
    }
}

fn main() {
    let rows: Vec<Row> = SIZES
        .map(|validators| Row {
            validators,
            spread: spread::simulate(validators, 1),
            receiver: receiver::measure(validators.min(MOST_LISTED)),
        })
        .into();
    println!(
        "{:>10} {:>6} {:>5} {:>9} {:>8} {:>8} {:>7} {:>10} {:>9} {:>10} {:>9} {:>11} {:>10}",
        "validators",
        "links",
        "mesh",
        "copies",
        "hops",
        "hops max",
        "log2 n",
        "delay p99",
        "msgs/file",
        "checks/file",
        "ms/file",
        "KiB/file",
        "beacon KiB/s"
    );
    for row in &rows {
        let Spread { links, mesh, copies, hops, hops_p99, most_hops, delay_p99_ms, .. } =
            row.spread;
        println!(
            "{:>10} {links:>6.1} {mesh:>5.1} {copies:>7.2} {hops:>5.2} {hops_p99:>8} {most_hops:>8} {:>7.1} {delay_p99_ms:>7.0} ms {:>9.0} {:>11.0} {:>8.1} {:>9.0} {:>12.1}",
            row.validators,
            (row.validators as f64).log2(),
            row.messages(),
            row.messages() + row.copies(),
            row.file_ms(),
            row.file_kib(),
            row.beacon_kib(),
        );
    }
    let by_log = |row: &Row| row.spread.hops / (row.validators as f64).log2();
    for row in &rows {
        assert!(row.spread.missed == 0, "a message did not reach everybody");
        assert!(by_log(row) <= by_log(&rows[0]), "hops grow faster than log n");
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(index) = arguments.iter().position(|argument| argument == "--svg") {
        let path = arguments.get(index + 1).expect("--svg FILE");
        std::fs::write(path, plot::draw(&rows)).unwrap();
    }
}
