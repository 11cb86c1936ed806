//! `leoma-testnet chain bench`: many epochs in a row, as fast as they go, and the memory they take.

use super::{ChainConfig, ChainHandle, GenesisConfig, NeuronGenesis, SubnetGenesis, spawn};
use anyhow::{Context, bail, ensure};
use serde::Serialize;
use sp_core::{Pair, sr25519};
use sp_runtime::traits::Hash;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use subxt::utils::{AccountId32, MultiSignature};
use subxt::{OnlineClient, PolkadotConfig, dynamic};

const NETUID: u16 = 1;
/// Lines of the report.
const SAMPLES: u32 = 10;
/// Growth of resident memory over the second half that passes: 150 bytes for each block's place in
/// the index are by design; allocator and sweeps move the rest up and down.
const GROWTH_PER_BLOCK: u64 = 150;
/// What allocator and sweeps may add, bytes.
const GROWTH_NOISE: u64 = 24 << 20;
/// Growth is judged only if the first half had at least this many blocks: a process that just
/// started fills its allocator's pools, by tens of megabytes.
const LEAST_BLOCKS: u32 = 10_000;
/// The first half must also be this many times the kept states: the index holds them twice between
/// sweeps.
const LEAST_SWEEPS: u32 = 3;

/// Run many epochs of a subnet one after another and watch the memory of this process. Fails if the
/// second half of them takes more than a fixed allowance above the first; too few of them are not
/// judged.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct BenchArgs {
    /// Epochs.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(20..))]
    epochs: u32,
    /// Blocks of an epoch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..))]
    tempo: u16,
    /// Neurons of the subnet; a quarter of them are validators.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(4..=256))]
    neurons: u16,
    /// Final states that are kept.
    #[arg(long, default_value_t = super::DEFAULT_KEPT_STATES)]
    keep_states: u32,
    /// Folder of the chain, which must not hold one; a temporary one unless given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print the result as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Memory and speed at one point.
#[derive(Debug, Clone, Copy, Serialize)]
struct Sample {
    epoch: u32,
    block: u32,
    /// Of the whole process.
    resident_bytes: u64,
    journal_bytes: u64,
    /// Mean over the epochs since the sample before.
    epoch_ms: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Report {
    tempo: u16,
    neurons: u16,
    kept_states: u32,
    samples: Vec<Sample>,
    /// Resident memory at the end, less that at half way.
    growth_bytes: i64,
    /// None where it is too early to tell.
    allowed_bytes: Option<u64>,
}

impl BenchArgs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let temporary = tempfile::tempdir().context("creating a temporary folder")?;
        let dir = self.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
        let report = self.measure(dir).await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print_table(&report);
        }
        report.judge()
    }

    async fn measure(&self, dir: PathBuf) -> anyhow::Result<Report> {
        let journal = dir.join(super::ledger::JOURNAL);
        if journal.exists() {
            bail!("{} already holds a chain", dir.display());
        }
        let kept_states = Some(self.keep_states);
        let config = ChainConfig {
            block_time: Duration::ZERO,
            kept_states,
            ..ChainConfig::new(dir, self.genesis())
        };
        let chain = spawn(config).await?;
        let mut samples = Vec::new();
        let mut done = 0;
        for sample in 1..=SAMPLES {
            let until = u64::from(self.epochs) * u64::from(sample) / u64::from(SAMPLES);
            let until = u32::try_from(until)?;
            let started = Instant::now();
            run_epochs(&chain, done..until, self).await?;
            let epoch_ms =
                started.elapsed().as_secs_f64() * 1_000.0 / f64::from((until - done).max(1));
            done = until;
            let journal_bytes =
                std::fs::metadata(&journal).context("reading the journal's size")?.len();
            let resident_bytes = resident_bytes()?;
            let sample = Sample {
                epoch: done,
                block: chain.best_number(),
                resident_bytes,
                journal_bytes,
                epoch_ms,
            };
            tracing::info!(epoch = done, resident_bytes, epoch_ms, "measured");
            samples.push(sample);
        }
        chain.stop().await?;
        let (half, end) = (samples[samples.len() / 2 - 1], samples[samples.len() - 1]);
        Ok(Report {
            tempo: self.tempo,
            neurons: self.neurons,
            kept_states: self.keep_states,
            growth_bytes: i64::try_from(end.resident_bytes)? - i64::try_from(half.resident_bytes)?,
            allowed_bytes: allowed_bytes(half.block, end.block, self.keep_states),
            samples,
        })
    }

    fn validators(&self) -> u16 {
        self.neurons / 4
    }

    fn genesis(&self) -> GenesisConfig {
        let account =
            |name: &str| node_subtensor_runtime::AccountId::from(Key::new(name).0.public().0);
        let validators = self.validators();
        let neurons = (0..self.neurons).map(|uid| NeuronGenesis {
            hotkey: account(&format!("hotkey {uid}")),
            coldkey: account("coldkey"),
            stake: if uid < validators { 1_000_000_000_000 } else { 0 },
            validator_permit: uid < validators,
        });
        let (coldkey, hotkey) = (account("coldkey"), account("hotkey 0"));
        let subnet = SubnetGenesis::new(NETUID, coldkey, hotkey, self.tempo, neurons.collect());
        let subnet = SubnetGenesis { weights_rate_limit: 1, ..subnet };
        GenesisConfig {
            name: "bench".to_owned(),
            subnets: vec![subnet],
            ..GenesisConfig::default()
        }
    }
}

impl Report {
    fn judge(&self) -> anyhow::Result<()> {
        let Some(allowed) = self.allowed_bytes else { return Ok(()) };
        let met = self.growth_bytes <= i64::try_from(allowed)?;
        ensure!(met, "memory grew by {} bytes, more than {allowed}", self.growth_bytes);
        Ok(())
    }
}

fn allowed_bytes(half: u32, end: u32, kept_states: u32) -> Option<u64> {
    let settled = half >= LEAST_BLOCKS.max(kept_states.saturating_mul(LEAST_SWEEPS));
    settled.then(|| GROWTH_NOISE + GROWTH_PER_BLOCK * u64::from(end - half))
}

/// A key by name.
struct Key(sr25519::Pair);

impl Key {
    fn new(name: &str) -> Self {
        let seed = sp_runtime::traits::BlakeTwo256::hash(name.as_bytes());
        Self(sr25519::Pair::from_seed(&seed.0))
    }
}

impl subxt::tx::Signer<PolkadotConfig> for Key {
    fn account_id(&self) -> AccountId32 {
        AccountId32(self.0.public().0)
    }

    fn sign(&self, payload: &[u8]) -> MultiSignature {
        MultiSignature::Sr25519(self.0.sign(payload).0)
    }
}

/// Runs epochs; in each, one validator in turn sets weights.
async fn run_epochs(
    chain: &ChainHandle,
    epochs: std::ops::Range<u32>,
    args: &BenchArgs,
) -> anyhow::Result<()> {
    let client = OnlineClient::<PolkadotConfig>::from_insecure_url(&chain.ws_url).await?;
    for epoch in epochs {
        let validator = epoch % u32::from(args.validators());
        let target = u16::try_from(epoch % u32::from(args.neurons))?;
        let key = Key::new(&format!("hotkey {validator}"));
        let weights = dynamic::tx(
            "SubtensorModule",
            "set_weights",
            (NETUID, vec![target], vec![1_u16], 0_u64),
        );
        let mut transactions = client.at_current_block().await?.transactions();
        transactions.sign_and_submit_default(&weights, &key).await.context("setting weights")?;
        chain.controls().step(u32::from(args.tempo)).await?;
    }
    Ok(())
}

/// Memory of this process that is in RAM, as the kernel counts it.
fn resident_bytes() -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    crate::bench_mesh::resident_bytes(&status).context("no VmRSS in /proc/self/status")
}

fn print_table(report: &Report) {
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1_u32 << 20);
    println!(
        "tempo {}, {} neurons, {} states kept",
        report.tempo, report.neurons, report.kept_states
    );
    println!(
        "{:>8} {:>10} {:>14} {:>13} {:>10}",
        "epoch", "block", "resident MiB", "journal MiB", "epoch ms"
    );
    for sample in &report.samples {
        let Sample { epoch, block, epoch_ms, .. } = sample;
        let (resident, journal) =
            (mebibytes(sample.resident_bytes), mebibytes(sample.journal_bytes));
        println!("{epoch:>8} {block:>10} {resident:>14.1} {journal:>13.1} {epoch_ms:>10.2}");
    }
    let growth = report.growth_bytes as f64 / f64::from(1_u32 << 20);
    match report.allowed_bytes {
        Some(allowed) => {
            println!("second half: {growth:+.1} MiB of {:.1} allowed", mebibytes(allowed))
        }
        None => println!("second half: {growth:+.1} MiB, too few blocks to judge"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_judged_once_memory_has_settled() {
        assert_eq!(allowed_bytes(20, 40, 8), None);
        assert_eq!(allowed_bytes(20_000, 40_000, super::super::DEFAULT_KEPT_STATES), None);
        let allowed = allowed_bytes(50_000, 100_000, super::super::DEFAULT_KEPT_STATES);
        assert_eq!(allowed, Some((24 << 20) + 7_500_000));
        let report = |growth_bytes, allowed_bytes| Report {
            tempo: 100,
            neurons: 64,
            kept_states: 8,
            samples: Vec::new(),
            growth_bytes,
            allowed_bytes,
        };
        assert!(report(1 << 24, allowed).judge().is_ok() && report(1 << 30, None).judge().is_ok());
        assert!(report(1 << 25, allowed).judge().is_err());
    }
}
