//! The state of a validator of the release before the database's third version is read unchanged.
//! `tests/data/state-2.sqlite` is one that a run of two validators on a local subnet left.

use std::path::Path;

use leoma::state::{CommitState, EpochState, State};
use leoma_protocol::codec::Wire as _;
use leoma_protocol::messages::Certificate;
use leoma_protocol::verdict::{Expected, verify};
use leoma_protocol::{
    BlockNumber, Digest, Hotkey, Netuid, Network, NotSafe, Safe, SigningGuard as _, SigningSlot,
    SlotKind, TaskId, Uid,
};

fn hotkey(text: &str) -> Hotkey {
    text.parse().unwrap()
}

#[test]
fn the_state_of_an_earlier_release_keeps_its_files_certificates_signatures_and_weights() {
    let folder = tempfile::tempdir().unwrap();
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state-2.sqlite");
    std::fs::copy(written, folder.path().join("state.sqlite")).unwrap();
    let own = hotkey("5GZR9G2zyZn2uzjMejhCA4a5PMsRJ2YuT5fgqGHwBfyr1PL6");
    let peer = hotkey("5GYS1p4etKpTAojVWHdn41p8xtF2Fjv6cRQxaHPLuAYUxFgY");
    let winner = hotkey("5H1iYDh5o9S2v1eUQpKGLcvrH5bsRRYD8DNR5CCb8pkER8QG");
    let genesis = "cad4331cc7008fa067b2743b2f3c9199cdd209e7dc69a95589f67c7e16b7353c";
    let network = Network { genesis: genesis.parse().unwrap(), netuid: Netuid(99) };
    let state = State::open(folder.path(), network, own).unwrap();

    // Every verdict file still verifies under its digest and the parameters of that time.
    let params = "b1d3cfaf61ffdef99efcb2986240598d69a3cb89ec617d10697139810a63374f";
    let params: Digest = params.parse().unwrap();
    let files = state.files_from(TaskId(0)).unwrap();
    assert_eq!(files.len(), 9);
    for file in &files {
        let expected = Expected { id: file.id, network, params, accept_v1: false };
        let verified = verify(&file.bytes, &expected).unwrap();
        assert_eq!((verified.id, verified.digest), (file.id, file.digest));
        assert_eq!(verified.entries.len(), 3);
        assert!([own, peer].contains(&file.id.producer));
    }
    // Each has its certificate, of both validators.
    let certificates = state.certificates_from(TaskId(0)).unwrap();
    assert_eq!(certificates.len(), 9);
    for (file, digest, bytes) in certificates {
        let certificate = Certificate::from_wire(&bytes).unwrap();
        assert_eq!((certificate.file, certificate.digest), (file, digest));
        assert_eq!(certificate.votes.len(), 2);
    }

    // What was signed is signed again, and nothing else is signed in its place.
    let mine = files.iter().find(|file| file.id.producer == own).unwrap();
    let slot = SigningSlot {
        kind: SlotKind::VerdictFile,
        netuid: Netuid(99),
        task_id: mine.id.task_id,
        subject: own,
    };
    assert!(matches!(state.admit(slot, mine.digest), Ok(Safe::Same)));
    assert!(matches!(state.admit(slot, Digest::of(b"other")), Err(NotSafe::Conflict { .. })));

    let epochs = state.epochs(8).unwrap();
    assert_eq!(epochs.len(), 1);
    assert_eq!((epochs[0].epoch_block, epochs[0].state), (BlockNumber(180), EpochState::Set));
    assert_eq!((epochs[0].winner_hotkey, epochs[0].uid), (Some(winner), Some(Uid(3))));
    let commit = state.weight_commit(BlockNumber(180)).unwrap().unwrap();
    assert_eq!(commit.state, CommitState::Revealed);
    let [entry] = &commit.weights.entries[..] else { panic!("{:?}", commit.weights) };
    assert_eq!((entry.hotkey, entry.uid, entry.share), (winner, Uid(3), u16::MAX));
}
