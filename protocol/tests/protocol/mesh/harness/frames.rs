//! Gossip as it is on the wire, made by hand: the library would refuse to send most of it.

use leoma_protocol::mesh::libp2p::identity::Keypair;
use leoma_protocol::messages::Topic;

use super::network;

/// What a gossip stream speaks.
pub const GOSSIP_PROTOCOL: &str = "/meshsub/1.1.0";
const SIGNED_PREFIX: &[u8] = b"libp2p-pubsub:";

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// Puts an RPC's length before it.
fn framed(rpc: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(rpc.len() + 4);
    varint(rpc.len() as u64, &mut frame);
    frame.extend(rpc);
    frame
}

/// One message on any topic; signed when there is a key.
pub fn message_on(topic: &str, keypair: Option<&Keypair>, sequence: u64, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(data.len() + 256);
    if let Some(keypair) = keypair {
        field(1, &keypair.public().to_peer_id().to_bytes(), &mut message);
    }
    field(2, data, &mut message);
    field(3, &sequence.to_be_bytes(), &mut message);
    field(4, topic.as_bytes(), &mut message);
    if let Some(keypair) = keypair {
        let signature = keypair.sign(&[SIGNED_PREFIX, &message].concat()).unwrap();
        field(5, &signature, &mut message);
    }
    let mut rpc = Vec::with_capacity(message.len() + 8);
    field(2, &message, &mut rpc);
    framed(&rpc)
}

/// One signed message on one of the mesh's topics.
pub fn message(topic: Topic, keypair: &Keypair, sequence: u64, data: &[u8]) -> Vec<u8> {
    message_on(&topic.name(&network()), Some(keypair), sequence, data)
}

/// Subscribes to a topic, or no longer.
pub fn subscription(topic: Topic, subscribe: bool) -> Vec<u8> {
    subscription_to(&topic.name(&network()), subscribe)
}

/// The same, to any topic.
pub fn subscription_to(topic: &str, subscribe: bool) -> Vec<u8> {
    let mut options = vec![1 << 3, u8::from(subscribe)];
    field(2, topic.as_bytes(), &mut options);
    let mut rpc = Vec::new();
    field(1, &options, &mut rpc);
    framed(&rpc)
}
