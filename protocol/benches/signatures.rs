//! Signature checks on one core: a certificate's votes one by one, and together.
//!
//! The limit is 10 000 checks a second. `singly` is what a gossiped attestation costs: encoding,
//! memory of known signatures and the check itself. `together` is a certificate of as many votes,
//! checked as catch-up pages and restarts do. `known` is one that was seen before, and `raw` the
//! bare library, for comparison.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "benchmark code")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use leoma_protocol::messages::{Allowlists, Attestation, Certificate, Context, SignatureCheck};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, HotkeySigner, MemoryGuard, Netuid,
    Network, Signature, TaskId,
};
use sp_core::{Pair as _, sr25519};

fn pair(number: usize) -> sr25519::Pair {
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    sr25519::Pair::from_seed(&seed)
}

fn network() -> Network {
    Network { genesis: Digest::of(b"a chain"), netuid: Netuid(99) }
}

/// A certificate with every validator's vote.
fn certificate(validators: usize) -> Certificate {
    let file = FileId { task_id: TaskId(10), producer: pair(0).public().into() };
    let digest = Digest::of(b"a file");
    let vote = |number| {
        let signer = HotkeySigner::new(pair(number), Arc::new(MemoryGuard::default()));
        let attestation = signer.sign_attestation(network(), file, digest).unwrap();
        (attestation.attester, attestation.signature)
    };
    let mut votes: Vec<(Hotkey, Signature)> = (0..validators).map(vote).collect();
    votes.sort_by_key(|vote| vote.0);
    Certificate { network: network(), file, digest, votes }
}

fn with_context<T>(
    allowlists: &Allowlists,
    signatures: &SignatureCheck,
    run: impl FnOnce(&Context<'_>) -> T,
) -> T {
    run(&Context {
        network: network(),
        allowlists,
        consensus: &ConsensusParams { failover_grace: Some(1), ..Default::default() }.into(),
        head: BlockNumber(1000),
        tasks: TaskId(5)..=TaskId(11),
        signatures,
    })
}

fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signatures");
    for votes in [2, 8, 64, 256] {
        let certificate = certificate(votes);
        let attestations: Vec<Attestation> = certificate.attestations().collect();
        let allowlists = Allowlists::single(100, certificate.votes.iter().map(|vote| vote.0));
        group.throughput(Throughput::Elements(votes as u64));
        group.bench_function(BenchmarkId::new("singly", votes), |bencher| {
            bencher.iter(|| {
                with_context(&allowlists, &SignatureCheck::default(), |context| {
                    attestations
                        .iter()
                        .for_each(|attestation| black_box(attestation).verify(context).unwrap());
                });
            });
        });
        group.bench_function(BenchmarkId::new("together", votes), |bencher| {
            bencher.iter(|| {
                with_context(&allowlists, &SignatureCheck::default(), |context| {
                    black_box(&certificate).verify(context).unwrap();
                });
            });
        });
        let known = SignatureCheck::default();
        group.bench_function(BenchmarkId::new("known", votes), |bencher| {
            bencher.iter(|| {
                with_context(&allowlists, &known, |context| {
                    black_box(&certificate).verify(context).unwrap()
                });
            });
        });
    }
    let (pair, message) = (pair(1), [7; 170]);
    let (signature, public) = (pair.sign(&message), pair.public());
    group.throughput(Throughput::Elements(1));
    group.bench_function("raw", |bencher| {
        bencher.iter(|| assert!(sr25519::Pair::verify(black_box(&signature), message, &public)));
    });
    group.finish();
}

criterion_group!(benches, signatures);
criterion_main!(benches);
