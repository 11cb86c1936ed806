//! Weights that are on chain already, sent again so that we stay active.
//!
//! A validator that abstains leaves its weights as they are. After the subnet's activity cutoff the
//! chain would no longer count them, nor pay us. So they are sent again shortly before,
//! unchanged: it is for ourselves alone, and says nothing about any epoch.

use leoma_chain::Head;
use leoma_protocol::BlockNumber;
use leoma_rotation::{WeightEntry, WeightVector};

use super::put::{Target, Weights, WeightsError};

/// Blocks before the cutoff from which on weights are sent again: some epochs for retries.
const MARGIN: u64 = 720;

impl Weights {
    /// Sends the weights again that we have on chain, if they are about to count no more. Returns
    /// whether it did. `epoch_block` is an epoch that has ended without weights of its own: they
    /// take its place.
    ///
    /// # Errors
    /// [`WeightsError`]; trying again does nothing twice.
    pub async fn renew(&self, epoch_block: BlockNumber, now: Head) -> Result<bool, WeightsError> {
        let demands = self.chain.hyperparameters(now).await?;
        let metagraph = self.chain.metagraph(now).await?;
        let Some(neuron) = metagraph.neuron(&self.signer.hotkey()) else { return Ok(false) };
        // 0 is never: then there is nothing to send again.
        if neuron.last_update.0 == 0
            || !is_due(neuron.last_update, demands.activity_cutoff, now.number)
        {
            return Ok(false);
        }
        let stored = self.chain.weights(now, neuron.uid).await?;
        let entries = stored.into_iter().filter_map(|(uid, share)| {
            let holder = metagraph.neurons.get(usize::from(uid.0))?;
            Some(WeightEntry { hotkey: holder.hotkey, uid, share })
        });
        let weights = WeightVector { entries: entries.collect() };
        if weights.entries.is_empty() {
            return Ok(false);
        }
        let _progress = self.put(&Target { epoch_block, weights }, now).await?;
        Ok(true)
    }
}

/// Whether weights of `last_update` count only for a little longer.
fn is_due(last_update: BlockNumber, cutoff: u64, now: BlockNumber) -> bool {
    let margin = MARGIN.min(cutoff / 2);
    now.0 >= last_update.0.saturating_add(cutoff).saturating_sub(margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_sent_again_shortly_before_they_count_no_more() {
        let due = |cutoff, now| is_due(BlockNumber(1000), cutoff, BlockNumber(now));
        assert_eq!([1001, 5279, 5280, 9000].map(|now| due(5000, now)), [false, false, true, true]);
        assert!(!due(100, 1049) && due(100, 1050), "half of a short cutoff");
    }
}
