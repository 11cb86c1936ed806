//! Yuma consensus: from the weights that validators set to what each neuron earns. Pure, in 32.32
//! fixed point.
//!
//! Validators vote with their stake. A weight above the stake-weighted median of its column is cut
//! down to it, so a minority cannot lift a miner; what is left, summed by stake, is the miner's
//! incentive. A validator earns dividends by the bonds it built up with the miners that earn, and
//! builds fewer with those it overrates.

#[cfg(test)]
mod published;

use super::fixed::Fixed;

/// One neuron as an epoch sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeuronInput {
    /// Stake, rao.
    pub stake: u64,
    /// Whether it may set weights.
    pub permit: bool,
    /// Block of its last weights or commit.
    pub last_update: u64,
    /// Block of its registration.
    pub registered: u64,
    /// Block of its oldest commit that waits for its reveal.
    pub oldest_commit: Option<u64>,
    /// Weights it set, as (uid, parts of 65535).
    pub weights: Vec<(u16, u16)>,
    /// Bonds after the last epoch, as (uid, parts of 65535 of the column's largest).
    pub bonds: Vec<(u16, u16)>,
}

/// A subnet as an epoch sees it; a neuron's uid is its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Block of the epoch.
    pub now: u64,
    /// Bonds with a seat that changed hands in this block or later are void.
    pub bonds_since: u64,
    /// Blocks without an update after which a validator has no say.
    pub activity_cutoff: u64,
    /// Share of stake that must agree, parts of 65535.
    pub kappa: u16,
    /// How much of the old bonds stays, parts of a million.
    pub bonds_moving_average: u64,
    /// How much overrating costs in bonds, parts of 65535.
    pub bonds_penalty: u16,
    /// Most permits given.
    pub max_validators: u16,
    /// Stake below which a neuron counts as having none, rao; the owner always counts.
    pub stake_threshold: u64,
    /// Uid of the subnet owner's hotkey.
    pub owner: Option<u16>,
    /// Neurons by uid.
    pub neurons: Vec<NeuronInput>,
}

/// What an epoch decides; one entry per uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Who set weights recently.
    pub active: Vec<bool>,
    /// Who may set weights from now on.
    pub permits: Vec<bool>,
    /// The weight that the majority agrees on, parts of 65535.
    pub consensus: Vec<u16>,
    /// Share of the miners' half, parts of 65535.
    pub incentive: Vec<u16>,
    /// Share of the validators' half, parts of 65535.
    pub dividends: Vec<u16>,
    /// How much of a validator's weights the majority shares, parts of 65535.
    pub validator_trust: Vec<u16>,
    /// Bonds to keep, as in [`NeuronInput::bonds`].
    pub bonds: Vec<Vec<(u16, u16)>>,
    /// Share of the whole emission, parts of 10⁹.
    pub emission: Vec<u64>,
}

type Matrix = Vec<Vec<Fixed>>;

/// Runs one epoch.
pub fn epoch(input: &Input) -> Outcome {
    let neurons = &input.neurons;
    let active: Vec<bool> = neurons
        .iter()
        .map(|neuron| neuron.last_update.saturating_add(input.activity_cutoff) >= input.now)
        .collect();
    let stake = Fixed::shares(&counted_stake(input));
    let mut say: Vec<Fixed> = stake.clone();
    for (uid, say) in say.iter_mut().enumerate() {
        if !input.permitted(uid) || !active[uid] {
            *say = Fixed::ZERO;
        }
    }
    normalize(&mut say);

    let weights = voting_weights(input);
    let consensus = medians(&say, &weights, Fixed::parts(input.kappa));
    let clipped: Matrix = weights
        .iter()
        .map(|row| row.iter().zip(&consensus).map(|(weight, cap)| *weight.min(cap)).collect())
        .collect();
    let validator_trust: Vec<Fixed> = clipped.iter().map(|row| row.iter().copied().sum()).collect();
    let mut incentive: Vec<Fixed> =
        (0..neurons.len()).map(|target| weighted_sum(&say, &clipped, target)).collect();
    normalize(&mut incentive);

    let bonds = moved_bonds(input, &say, &weights, &clipped);
    let mut dividends: Vec<Fixed> = bonds
        .iter()
        .map(|row| row.iter().zip(&incentive).map(|(bond, earned)| *bond * *earned).sum())
        .collect();
    normalize(&mut dividends);

    let mut emission: Vec<Fixed> =
        incentive.iter().zip(&dividends).map(|(miner, validator)| *miner + *validator).collect();
    normalize(&mut emission);
    let nothing = |shares: &[Fixed]| shares.iter().all(|share| *share == Fixed::ZERO);
    if nothing(&emission) {
        // Nobody set weights that count: stake earns.
        emission = if nothing(&say) { stake.clone() } else { say.clone() };
    }

    let permits = permits(input, &stake);
    Outcome {
        active,
        consensus: consensus.iter().map(|value| value.to_parts()).collect(),
        incentive: incentive.iter().map(|value| value.to_parts()).collect(),
        dividends: dividends.iter().map(|value| value.to_parts()).collect(),
        validator_trust: validator_trust.iter().map(|value| value.to_parts()).collect(),
        bonds: kept_bonds(&bonds, &permits),
        emission: emission.iter().map(|value| value.scaled_to(1_000_000_000)).collect(),
        permits,
    }
}

impl Input {
    fn is_owner(&self, uid: usize) -> bool {
        self.owner.map(usize::from) == Some(uid)
    }

    /// Whether the neuron's weights count in this epoch; the owner's always do.
    fn permitted(&self, uid: usize) -> bool {
        self.is_owner(uid) || self.neurons.get(uid).is_some_and(|neuron| neuron.permit)
    }
}

/// Stake by uid as far as it counts.
fn counted_stake(input: &Input) -> Vec<u64> {
    let counts = |uid: usize, stake: u64| stake >= input.stake_threshold || input.is_owner(uid);
    let neurons = input.neurons.iter().enumerate();
    neurons.map(|(uid, neuron)| if counts(uid, neuron.stake) { neuron.stake } else { 0 }).collect()
}

/// The largest shares of stake above zero, ties to the higher uid as on the live chain, and the
/// owner.
fn permits(input: &Input, stake: &[Fixed]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..stake.len()).filter(|uid| stake[*uid] > Fixed::ZERO).collect();
    order.sort_by_key(|uid| std::cmp::Reverse((stake[*uid], *uid)));
    let mut permits = vec![false; input.neurons.len()];
    for uid in order
        .into_iter()
        .take(usize::from(input.max_validators))
        .chain(input.owner.map(usize::from))
    {
        if let Some(permit) = permits.get_mut(uid) {
            *permit = true;
        }
    }
    permits
}

/// Rows of those with a permit, without self-weights (but the owner's) and without votes for a seat
/// that changed hands since the votes, or since a commit to the next ones; each row sums to one.
fn voting_weights(input: &Input) -> Matrix {
    let rows = input.neurons.iter().enumerate();
    rows.map(|(from, neuron)| {
        let mut row = vec![Fixed::ZERO; input.neurons.len()];
        if input.permitted(from) {
            for (target, weight) in &neuron.weights {
                let to = usize::from(*target);
                let own = to == from && !input.is_owner(from);
                let Some(seat) = input.neurons.get(to) else { continue };
                let known =
                    neuron.oldest_commit.is_none_or(|committed| committed >= seat.registered);
                if !own && known && neuron.last_update > seat.registered {
                    row[to] = Fixed::whole(*weight);
                }
            }
        }
        normalize(&mut row);
        row
    })
    .collect()
}

/// Per column the smallest weight such that more than the minority of the say lies at or below it.
fn medians(say: &[Fixed], weights: &Matrix, majority: Fixed) -> Vec<Fixed> {
    let (mut said, rows): (Vec<Fixed>, Vec<&Vec<Fixed>>) =
        say.iter().copied().zip(weights).filter(|(say, _)| *say > Fixed::ZERO).unzip();
    normalize(&mut said);
    // Rounding leaves the sum a hair short of one.
    let minority = said.iter().copied().sum::<Fixed>() - majority;
    let median = |target: usize| {
        let mut votes: Vec<(Fixed, Fixed)> =
            rows.iter().map(|row| row[target]).zip(said.iter().copied()).collect();
        votes.sort_unstable();
        let mut below = Fixed::ZERO;
        for (weight, say) in &votes {
            below = below + *say;
            if below > minority {
                return *weight;
            }
        }
        votes.last().map_or(Fixed::ZERO, |(weight, _)| *weight)
    };
    (0..weights.len()).map(median).collect()
}

fn weighted_sum(say: &[Fixed], matrix: &Matrix, target: usize) -> Fixed {
    say.iter().zip(matrix).map(|(say, row)| *say * row[target]).sum()
}

/// The moving average of bonds, by column: what was there, and what this epoch's weights buy.
fn moved_bonds(input: &Input, say: &[Fixed], weights: &Matrix, clipped: &Matrix) -> Matrix {
    let penalty = Fixed::parts(input.bonds_penalty);
    let mut bought: Matrix = say
        .iter()
        .zip(weights.iter().zip(clipped))
        .map(|(say, (row, cut))| {
            row.iter()
                .zip(cut)
                .map(|(weight, cut)| *say * (*weight + penalty * (*cut - *weight)))
                .collect()
        })
        .collect();
    normalize_columns(&mut bought);
    let mut held: Matrix = input
        .neurons
        .iter()
        .map(|neuron| {
            let mut row = vec![Fixed::ZERO; input.neurons.len()];
            for (target, bond) in &neuron.bonds {
                let seat = input.neurons.get(usize::from(*target));
                if seat.is_some_and(|seat| input.bonds_since > seat.registered) {
                    row[usize::from(*target)] = Fixed::whole(*bond);
                }
            }
            row
        })
        .collect();
    normalize_columns(&mut held);
    let fresh = Fixed::ONE - Fixed::ratio(input.bonds_moving_average.min(1_000_000), 1_000_000);
    let kept = Fixed::ONE - fresh;
    let mut bonds: Matrix = bought
        .iter()
        .zip(&held)
        .map(|(bought, held)| {
            bought.iter().zip(held).map(|(bought, held)| fresh * *bought + kept * *held).collect()
        })
        .collect();
    normalize_columns(&mut bonds);
    bonds
}

/// Bonds as they are stored: each column scaled to its largest; who has no permit keeps none.
fn kept_bonds(bonds: &Matrix, permits: &[bool]) -> Vec<Vec<(u16, u16)>> {
    let largest: Vec<Fixed> = (0..bonds.len())
        .map(|target| bonds.iter().map(|row| row[target]).max().unwrap_or(Fixed::ZERO))
        .collect();
    let rows = bonds.iter().zip(permits);
    rows.map(|(row, permit)| {
        let scaled = (0_u16..).zip(row.iter().zip(&largest));
        let scaled =
            scaled.map(|(target, (bond, largest))| (target, bond.over(*largest).to_parts()));
        scaled.filter(|(_, bond)| *permit && *bond > 0).collect()
    })
    .collect()
}

/// Divides by the sum; all zero stays all zero.
fn normalize(values: &mut [Fixed]) {
    let sum: Fixed = values.iter().copied().sum();
    for value in values {
        *value = value.over(sum);
    }
}

fn normalize_columns(matrix: &mut Matrix) {
    for target in 0..matrix.len() {
        let sum: Fixed = matrix.iter().map(|row| row[target]).sum();
        for row in matrix.iter_mut() {
            row[target] = row[target].over(sum);
        }
    }
}

#[cfg(test)]
mod tests;
