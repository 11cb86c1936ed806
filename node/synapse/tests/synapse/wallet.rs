//! A hotkey from a Bittensor wallet's key file asks.

use std::sync::Arc;
use std::time::Duration;

use leoma_protocol::synapse::{Fields, Question, Target};
use leoma_protocol::{HotkeySigner, MemoryGuard};
use leoma_synapse::{Axon, AxonLimits, Dendrite, Outcome};
use leoma_wallet::{NewHotkey, PasswordSources, WalletSettings, hotkey_path, load_hotkey};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::crowd::{self, ECHO, Echo};

#[tokio::test]
async fn a_wallets_hotkey_signs_requests() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = WalletSettings {
        path: folder.path().to_owned(),
        wallet: "validator".into(),
        hotkey: "default".into(),
        passwords: PasswordSources::default(),
        coldkey_passwords: PasswordSources::default(),
    };
    let written = NewHotkey::generate();
    written.write(&hotkey_path(&wallet), None, false).unwrap();
    let pair = load_hotkey(&wallet).await.unwrap();
    let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let axon = Axon::new(crowd::signer(2), AxonLimits::default(), |_| Ok(()));
    tokio::spawn(axon.route(ECHO, Echo::default()).serve(listener, stop.clone()));

    let client = reqwest::Client::builder().no_proxy();
    let dendrite = Dendrite::new(client, signer, None, |_| true).unwrap();
    let fields = Fields::from([("text", "hello".into()), ("reply", "".into())]);
    let question = Question::new(&ECHO, &fields, Duration::from_secs(5)).unwrap();
    let target = Target { ip: [127, 0, 0, 1].into(), port, hotkey: crowd::signer(2).hotkey() };
    let answer = dendrite.ask(&question, &target, 10_000).await;
    let reply = format!("{}: hello", written.hotkey());
    assert_eq!(answer.outcome, Outcome::Filled(Fields::from([("reply", reply.into())])));
    stop.cancel();
}
