//! Validators that nobody can dial.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::harness::*;
use leoma_protocol::MAX_GRANT_BYTES;
use leoma_protocol::mesh::{GrantBytes, MeshConfig, MeshEvent};

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_listens_nowhere_takes_full_part() {
    let members = hotkeys(1..=3);
    let nodes = mesh_among(2, &members, |_| ()).await;
    let mut hidden = config(3, &members);
    hidden.listen.clear();
    hidden.bootnodes = vec![nodes[0].address().await];
    let hidden = Node::start(hidden);
    // The second one is learnt from beacons, and dialled.
    hidden.until_mutual(2).await;
    assert!(hidden.status().await.listening.is_empty());
    assert!(hidden.status().await.peers.iter().all(|peer| peer.view.outbound));

    // Its own file: announced, fetched from it, attested to, certified, here and there.
    let content = b"a file from behind a router".to_vec();
    let file = verdict(&signer(3), 99, &content);
    hidden.handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    agree(&[&hidden, &nodes[0], &nodes[1]], &signer(3), 98).await;
    let fetched = nodes[1].handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(*fetched.unwrap(), content);
    // Somebody else's.
    let content = b"a file from elsewhere".to_vec();
    let file = verdict(&signer(1), 99, &content);
    nodes[0].handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    let fetched = hidden.handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(*fetched.unwrap(), content);
    agree(&[&nodes[1], &nodes[0], &hidden], &signer(2), 97).await;

    // The largest grant, in both directions.
    let grant = |byte: u8| GrantBytes::new(vec![byte; MAX_GRANT_BYTES]).unwrap();
    assert!(GrantBytes::new(vec![0; MAX_GRANT_BYTES + 1]).is_none());
    for (from, to, byte) in [(&hidden, &nodes[1], 1), (&nodes[1], &hidden, 2)] {
        from.handle.set_grant(grant(byte)).await.unwrap();
        let granted = |event: &MeshEvent| match event {
            MeshEvent::Grant { from: hotkey, payload } if *hotkey == from.hotkey => {
                Some(payload.clone())
            }
            _ => None,
        };
        assert_eq!(to.until_heard("the grant", granted).await, grant(byte));
    }
}

/// A relay, and two validators that listen nowhere but through it.
async fn behind_a_relay(adjust: impl Fn(&mut MeshConfig)) -> [Node; 3] {
    let members = hotkeys(1..=3);
    let config = |number: u8| {
        let mut config = config(number, &members);
        config.timing.link_grace = PATIENCE;
        config
    };
    let mut relay = config(1);
    relay.relay.serve = true;
    let relay = Node::start(relay);
    let address = relay.address().await;
    let hidden = [2, 3].map(|number| {
        let mut hidden = config(number);
        hidden.relay.via = vec![address.clone()];
        adjust(&mut hidden);
        Node::start(hidden)
    });
    let [one, other] = hidden;
    [relay, one, other]
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_cannot_be_dialled_meet_through_a_relay() {
    let [relay, one, other] = behind_a_relay(|hidden| hidden.listen.clear()).await;
    for node in [&relay, &one, &other] {
        node.until_mutual(2).await;
    }
    let through = |node: &Node, to: &Node| {
        let (hotkey, status) = (to.hotkey, node.handle.clone());
        async move {
            let peers = status.status().await.unwrap().peers;
            peers.into_iter().find(|peer| peer.view.hotkey == Some(hotkey)).map(|peer| peer.relayed)
        }
    };
    assert_eq!(through(&one, &other).await, Some(true));
    assert_eq!(through(&other, &one).await, Some(true));
    assert_eq!(through(&one, &relay).await, Some(false));
    assert!(
        one.status()
            .await
            .listening
            .iter()
            .all(|address| address.as_str().contains("/p2p-circuit"))
    );
    agree(&[&one, &other, &relay], &signer(2), 99).await;
    let content = b"a file".to_vec();
    let file = verdict(&signer(2), 98, &content);
    one.handle.provide_verdict(file.id, file.digest, content.clone()).await.unwrap();
    let fetched = other.handle.fetch_verdict(file.id, file.digest, only(file.digest)).await;
    assert_eq!(*fetched.unwrap(), content);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_direct_way_is_sought_and_the_relayed_one_kept_without() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_env_filter("leoma_protocol=debug");
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    // There is no direct way to where nobody listens.
    let [_relay, one, other] = behind_a_relay(|hidden| hidden.listen.clear()).await;
    one.until_mutual(2).await;
    until("an attempt to get through", || async {
        let said = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        said.contains("no direct connection").then_some(())
    })
    .await;
    one.until_mutual(2).await;
    other.until_mutual(2).await;
}

#[tokio::test]
async fn a_validator_that_is_alone_complains_about_nothing() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_max_level(tracing::Level::WARN);
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    tracing::warn!("the log works");
    let node = Node::start(config(1, &hotkeys([1])));
    node.address().await;
    // Longer than Kademlia takes to think better of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(said.contains("the log works") && said.lines().count() == 1, "{said}");
}
