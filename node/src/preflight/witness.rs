//! Checks of whether this hotkey can tell the chain what it holds: its one commitment must be free
//! for it, and what the transaction costs must be there.

use std::sync::Arc;

use leoma_chain::{Call, Chain as _};
use leoma_protocol::{Hotkey, HotkeySigner, MemoryGuard, Witness};
use sp_core::{Pair as _, sr25519};

use super::check::Check;
use super::endpoints::Node;
use super::limit::limited;
use super::subnet::Seen;
use crate::weights::{WitnessObstacle, witness_obstacle};

const COMMITMENT: &str = "witness";
const COST: &str = "witness cost";
/// Fields of the longest witness.
const LONGEST: [usize; 3] = [128, 128, 128];

pub(super) async fn check(node: Option<&Node>, seen: &Seen, hotkey: Option<Hotkey>) -> Vec<Check> {
    let skip = |missing: &str| vec![Check::skip(COMMITMENT, missing), Check::skip(COST, missing)];
    let Some(node) = node else { return skip("no chain endpoint can be used") };
    let Ok(metagraph) = &seen.metagraph else { return skip("the subnet cannot be read") };
    let Some(hotkey) = hotkey else { return skip("the hotkey's address is not known") };
    let obstacle = witness_obstacle(metagraph, &hotkey);
    let slot = match obstacle {
        None => {
            let written = metagraph.plain.get(&hotkey).and_then(|found| {
                let mecid = node.chain.netuid().mecid();
                Some((Witness::decode_of(mecid, &found.bytes)?.ok()?, found.block))
            });
            let finding = match written {
                Some((witness, block)) => format!(
                    "the last one is of epoch {}, written at block {block}",
                    witness.epoch_block
                ),
                None => "none is written yet, and the hotkey's commitment is free for it".into(),
            };
            Check::pass(COMMITMENT, finding)
        }
        Some(obstacle @ WitnessObstacle::NotRegistered) => {
            Check::skip(COMMITMENT, &obstacle.to_string())
        }
        Some(obstacle) => Check::warn(
            COMMITMENT,
            obstacle.to_string(),
            "register another hotkey for the validator, and ask the subnet's owner to list it",
        ),
    };
    vec![slot, cost(node, &hotkey).await]
}

/// What a witness costs, as the chain itself says.
async fn cost(node: &Node, hotkey: &Hotkey) -> Check {
    // The cost does not depend on the key, and nothing is sent.
    let (pair, _) = sr25519::Pair::generate();
    let signer = HotkeySigner::new(pair, Arc::new(MemoryGuard::default()));
    let call = Call::Witness { fields: LONGEST.map(|length| vec![0; length]).into() };
    let asked = async {
        let signed = node.chain.sign(&signer, &call, 0, 8).await?;
        let fee = node.chain.fee(&signed).await?;
        anyhow::Ok((fee, node.chain.free_balance(node.head, hotkey).await?))
    };
    match limited(asked).await {
        Ok((0, _)) => Check::pass(COST, "free, as the chain says"),
        Ok((fee, balance)) if balance >= fee.saturating_mul(100) => {
            Check::pass(COST, format!("{fee} rao each; the hotkey has {balance}"))
        }
        Ok((fee, balance)) => Check::warn(
            COST,
            format!("{fee} rao each, and the hotkey has {balance}"),
            "transfer some TAO to the hotkey: each epoch's witness is paid from it",
        ),
        Err(error) => Check::warn(
            COST,
            format!("the chain does not say what a witness costs ({error})"),
            "watch the hotkey's balance after the first epoch",
        ),
    }
}
