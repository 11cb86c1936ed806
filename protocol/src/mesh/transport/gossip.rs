//! Gossipsub's settings for a small mesh of validators.

use std::time::Duration;

use libp2p::gossipsub::{
    Behaviour, Config, ConfigBuilder, IdentTopic, IdentityTransform, MaxCountSubscriptionFilter,
    MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash,
    TopicScoreParams, ValidationMode, WhitelistSubscriptionFilter, score_parameter_decay,
};
use libp2p::identity::Keypair;

use crate::mesh::config::MeshError;
use crate::messages::{MAX_TOPIC_VERSIONS, Topic};
use crate::{Digest, Network};

/// Peers in a topic's mesh: wanted, fewest, most, and fewest that we dialled. Three to 64
/// validators are the normal case: a mesh of three can reach the fewest, and flood publishing does
/// the rest.
const DEGREES: Degrees = Degrees { wanted: 4, low: 2, high: 8, outbound_min: 1 };
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(700);
/// Heartbeats for which peers can ask for a message: more than 8 s, far more than validation takes.
const HISTORY: usize = 12;
/// Heartbeats for which a message is advertised, and how many peers outside the topic's mesh are
/// told in each: about nine peers hear of a message this way. Higher values took a third of all
/// bytes of an announcement among 16 validators. Catch-up delivers what is lost.
const HISTORY_GOSSIP: usize = 3;
const GOSSIP_LAZY: usize = 3;
/// How long gossipsub remembers message ids. The core recognises later repetitions by their
/// content. Strangers' messages are remembered for as long, so the time is short.
const SEEN_FOR: Duration = Duration::from_secs(60);
/// Domain of the hash that is a message's id.
const MESSAGE_ID_DOMAIN: &[u8] = b"leoma:gossip:1\0";
/// Overhead around a message: signature, keys, topic, sequence number.
const ENVELOPE_BYTES: usize = 1024;
/// Largest RPC: a few of the largest messages.
const MAX_RPC_BYTES: usize = 256 * 1024;
/// Messages in one RPC. libp2p puts one into each.
const MAX_MESSAGES_PER_RPC: usize = 16;
/// Messages that wait for a peer that does not read. It gets dropped ones by catch-up.
const MAX_QUEUED: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Degrees {
    wanted: usize,
    low: usize,
    high: usize,
    outbound_min: usize,
}

impl Degrees {
    /// libp2p checks this for topics with their own configuration only.
    const fn are_sound(self) -> bool {
        self.outbound_min <= self.low
            && self.low <= self.wanted
            && self.wanted <= self.high
            && self.outbound_min * 2 <= self.wanted
    }
}

const _: () = assert!(DEGREES.are_sound(), "mesh degrees contradict one another");

/// Subscriptions to our topics only, and no more of them than there are.
pub(in crate::mesh) type Filter = MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>;
/// Gossipsub as we use it.
pub(in crate::mesh) type Gossip = Behaviour<IdentityTransform, Filter>;

/// libp2p's topics for one of ours: one for each version that we speak.
pub(in crate::mesh) fn idents(
    topic: Topic,
    network: &Network,
) -> impl Iterator<Item = IdentTopic> + use<> {
    topic.names(network).map(IdentTopic::new)
}

/// All of libp2p's topics that are ours, each with the topic that it belongs to.
fn all_idents(network: &Network) -> impl Iterator<Item = (Topic, IdentTopic)> {
    Topic::ALL
        .into_iter()
        .flat_map(move |topic| idents(topic, network).map(move |ident| (topic, ident)))
}

/// Which of our topics has this hash.
pub(in crate::mesh) fn topic_of(hash: &TopicHash, network: &Network) -> Option<Topic> {
    all_idents(network).find(|(_, ident)| ident.hash() == *hash).map(|(topic, _)| topic)
}

fn config(network: &Network) -> Result<Config, MeshError> {
    let mut builder = ConfigBuilder::default();
    builder
        .mesh_n(DEGREES.wanted)
        .mesh_n_low(DEGREES.low)
        .mesh_n_high(DEGREES.high)
        .mesh_outbound_min(DEGREES.outbound_min)
        .heartbeat_interval(HEARTBEAT)
        .heartbeat_initial_delay(HEARTBEAT)
        .history_length(HISTORY)
        .history_gossip(HISTORY_GOSSIP)
        .gossip_lazy(GOSSIP_LAZY)
        .duplicate_cache_time(SEEN_FOR)
        .flood_publish(true)
        .validate_messages()
        .validation_mode(ValidationMode::Strict)
        .max_transmit_size(MAX_RPC_BYTES)
        .max_publish_messages(MAX_MESSAGES_PER_RPC)
        .connection_handler_queue_len(MAX_QUEUED)
        .message_id_fn(|message| {
            let topic = message.topic.as_str().as_bytes();
            let length = (topic.len() as u64).to_be_bytes();
            let hash = Digest::of_parts(&[MESSAGE_ID_DOMAIN, &length, topic, &message.data]);
            MessageId::new(&hash.0[..20])
        });
    for (topic, ident) in all_idents(network) {
        let hash = ident.hash();
        builder.max_transmit_size_for_topic(topic.max_bytes() + ENVELOPE_BYTES, hash.clone());
        builder.mesh_n_for_topic(DEGREES.wanted, hash.clone());
        builder.mesh_n_low_for_topic(DEGREES.low, hash.clone());
        builder.mesh_n_high_for_topic(DEGREES.high, hash.clone());
        builder.mesh_outbound_min_for_topic(DEGREES.outbound_min, hash);
    }
    builder.build().map_err(|error| MeshError::Gossip(error.to_string()))
}

/// Delivery deficits (P3) do not count, because in a quiet mesh every peer has one. Nor do shared
/// addresses (P6), because validators may share a host. Invalid messages (P4), our own score (P5)
/// and broken protocol rules (P7) do.
fn score_params(network: &Network) -> PeerScoreParams {
    let topic_params = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -5.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: all_idents(network)
            .map(|(_, ident)| (ident.hash(), topic_params.clone()))
            .collect(),
        topic_score_cap: 0.0,
        app_specific_weight: 1.0,
        ip_colocation_factor_weight: 0.0,
        // A peer with a slow link is not hostile. What its queue cannot hold is dropped.
        slow_peer_weight: 0.0,
        behaviour_penalty_weight: -5.0,
        behaviour_penalty_threshold: 4.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_secs(600)),
        ..PeerScoreParams::default()
    }
}

/// Only repeated offences reach these scores: a single invalid message costs five.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -40.0,
        graylist_threshold: -80.0,
        accept_px_threshold: 1000.0,
        opportunistic_graft_threshold: 1.0,
    }
}

/// Gossipsub, subscribed to all topics of the network.
pub(in crate::mesh) fn gossip(keypair: &Keypair, network: &Network) -> Result<Gossip, MeshError> {
    let failed = |error: &dyn std::fmt::Display| MeshError::Gossip(error.to_string());
    let topics: Vec<IdentTopic> = all_idents(network).map(|(_, ident)| ident).collect();
    // A peer may speak versions that we do not, and says so in the same request.
    let filter = Filter {
        filter: WhitelistSubscriptionFilter(topics.iter().map(IdentTopic::hash).collect()),
        max_subscribed_topics: topics.len(),
        max_subscriptions_per_request: 2 * MAX_TOPIC_VERSIONS * Topic::ALL.len(),
    };
    let authenticity = MessageAuthenticity::Signed(keypair.clone());
    let mut gossip = Gossip::new_with_subscription_filter(authenticity, config(network)?, filter)
        .map_err(|error| failed(&error))?;
    gossip.with_peer_score(score_params(network), thresholds()).map_err(|error| failed(&error))?;
    for topic in &topics {
        gossip.subscribe(topic).map_err(|error| failed(&error))?;
    }
    Ok(gossip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Netuid;

    #[test]
    fn the_library_takes_the_settings_and_they_hold_for_every_topic() {
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        let config = config(&network).unwrap();
        for (topic, ident) in all_idents(&network) {
            let hash = ident.hash();
            assert_eq!(config.mesh_n_low_for_topic(&hash), 2);
            assert_eq!(config.mesh_n_for_topic(&hash), 4);
            assert_eq!(config.mesh_n_high_for_topic(&hash), 8);
            assert_eq!(config.mesh_outbound_min_for_topic(&hash), 1);
            assert_eq!(
                config.max_transmit_size_for_topic(&hash),
                topic.max_bytes() + ENVELOPE_BYTES
            );
            assert_eq!(topic_of(&hash, &network), Some(topic));
        }
        assert!(gossip(&Keypair::generate_ed25519(), &network).is_ok());
    }
}
