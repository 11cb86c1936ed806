//! An epoch's inputs, from the chain at its boundary and from public files.

use std::path::Path;

use anyhow::{Context as _, bail};
use futures::{Stream, StreamExt as _, stream};
use leoma_chain::{ChainClient, Head, Metagraph};
use leoma_protocol::verdict::{Expected, verify};
use leoma_protocol::{BlockNumber, ConsensusSchedule, FileId, Network, Witness};
use leoma_rotation::{AllowlistHistory, Certificates, counted};
use leoma_storage::SourceBucket;

use super::believe::believe;
use super::buckets::BucketArg;
use super::epoch_file::{EpochFile, FileRow, LimitsRow, ListRow, NeuronRow, SCHEMA, WitnessRow};
use super::read::read_allowlist;
use super::sources::{SourceArgs, Sources};
use crate::config::Config;
use crate::subnet::{AllowlistsAt, committed_allowlist};
use crate::weights::{snapshot_of, what_validators_set};

/// How many files are looked for at a time.
const CONCURRENT_READS: usize = 16;

/// What to gather, and from where.
pub(super) struct Gather<'a> {
    pub(super) epoch_block: BlockNumber,
    pub(super) sources: &'a SourceArgs,
    pub(super) buckets: &'a [BucketArg],
    pub(super) allowlist: Option<&'a Path>,
}

/// The inputs, and what could not be read on the way, in words.
pub(super) struct Gathered {
    pub(super) file: EpochFile,
    pub(super) notes: Vec<String>,
}

impl Gather<'_> {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<Gathered> {
        let consensus = &config.mechanism.consensus();
        let sources = self.sources.open(config, self.buckets)?;
        let chain = ChainClient::of(&config.chain, config.index()).await?;
        let (epoch_block, network) = (self.epoch_block, chain.network());
        let head = chain.head().await?;
        if head.number < epoch_block {
            bail!(
                "block {epoch_block} is not final yet: the newest final block is {}",
                head.number
            );
        }
        if consensus.epoch_block(epoch_block) != epoch_block {
            let near = consensus.epoch_block(epoch_block);
            bail!("{epoch_block} is not an epoch's boundary; the newest one before it is {near}");
        }
        let hash = chain.block_hash(epoch_block).await?;
        let metagraph = chain.metagraph(Head { number: epoch_block, hash }).await?;
        let history = self.history(config, &metagraph, network).await?;
        let mut file = EpochFile {
            schema: SCHEMA.to_owned(),
            network,
            epoch_block,
            block_hash: hash,
            params: consensus.digest_at(epoch_block),
            allowlists: history
                .entries()
                .iter()
                .map(|entry| ListRow {
                    committed_at: entry.committed_at,
                    list: entry.allowlist.canonical_json(),
                })
                .collect(),
            owner: Some(metagraph.owner),
            neurons: neurons(&metagraph),
            limits: config.mechanism.paying().map(|_| LimitsRow {
                max_weight: metagraph.max_weight,
                min_weights: metagraph.min_weights,
            }),
            witnesses: witnesses(&metagraph, network.netuid.mecid()),
            attestations: sources.attestations().await?,
            files: Vec::new(),
            set: what_validators_set(&chain, consensus, &history, (epoch_block, head), None)
                .await?,
        };
        let mut notes = Vec::new();
        file.files = self.files(&file, &history, &metagraph, consensus, &sources, &mut notes).await;
        Ok(Gathered { file, notes })
    }

    /// The allowlists up to the boundary, as the chain names them there.
    async fn history(
        &self,
        config: &Config,
        metagraph: &Metagraph,
        network: Network,
    ) -> anyhow::Result<AllowlistHistory> {
        if let Some(path) = self.allowlist {
            let (list, committed) = (read_allowlist(path)?, committed_allowlist(metagraph)?);
            if list.digest() != committed.sha256 {
                bail!(
                    "{} has SHA-256 {}, the owner's commitment at block {} names {}",
                    path.display(),
                    list.digest(),
                    metagraph.block,
                    committed.sha256
                );
            }
            let mut history = AllowlistHistory::default();
            history.commit(committed.committed_at, list)?;
            return Ok(history);
        }
        let source = SourceBucket::new(config.buckets.need_readable_source()?.open()?);
        let at = AllowlistsAt { source, network, known_of: None };
        let read = at.read(metagraph, &AllowlistHistory::default()).await;
        read.context("the allowlist of that block cannot be read; name its file with --allowlist")
    }

    /// The certified files that count, as far as they are found.
    async fn files(
        &self,
        file: &EpochFile,
        history: &AllowlistHistory,
        metagraph: &Metagraph,
        consensus: &ConsensusSchedule,
        sources: &Sources,
        notes: &mut Vec<String>,
    ) -> Vec<FileRow> {
        let believed =
            believe(&file.attestations, file.network, history, consensus, self.epoch_block);
        let certificates = Certificates::count(history, believed.attested.iter().copied());
        let snapshot = snapshot_of(metagraph, file.network.netuid.mecid());
        let Ok(counted) = counted(consensus.at(self.epoch_block), history, &snapshot) else {
            return Vec::new();
        };
        eprintln!("reading {} verdict files", counted.files.len());
        let looked = counted
            .files
            .iter()
            .map(|id| look_for(*id, &certificates, history, consensus, file.network, sources));
        let looked = stream::iter(looked).buffered(CONCURRENT_READS);
        let (files, said) = collect(looked, &counted.files, |line| eprintln!("{line}")).await;
        notes.extend(said);
        files
    }
}

/// The files that were found, and the notes on all, in the order of `ids`. `progress` is told of
/// each file as it is done.
async fn collect(
    looked: impl Stream<Item = (Option<FileRow>, Vec<String>)>,
    ids: &[FileId],
    mut progress: impl FnMut(String),
) -> (Vec<FileRow>, Vec<String>) {
    let mut looked = std::pin::pin!(looked.zip(stream::iter(ids)).enumerate());
    let (mut files, mut notes) = (Vec::with_capacity(ids.len()), Vec::new());
    while let Some((index, ((found, said), id))) = looked.next().await {
        let (FileId { task_id, producer }, number, total) = (id, index + 1, ids.len());
        let word = if found.is_some() { "read" } else { "not read" };
        progress(format!("[{number}/{total}] task {task_id} of {producer}: {word}"));
        files.extend(found);
        notes.extend(said);
    }
    (files, notes)
}

/// The certified version of a file, and notes on the sources that do not have it.
async fn look_for(
    id: FileId,
    certificates: &Certificates,
    history: &AllowlistHistory,
    consensus: &ConsensusSchedule,
    network: Network,
    sources: &Sources,
) -> (Option<FileRow>, Vec<String>) {
    let FileId { task_id, producer } = id;
    let mut notes = Vec::new();
    let Some(digest) = certificates.get(&id) else {
        notes.push(format!(
            "task {task_id} of {producer}: no source has a certificate; ask another validator"
        ));
        return (None, notes);
    };
    let Some(expected) = expected(id, history, consensus, network) else { return (None, notes) };
    let versions = sources.versions(id, |note| notes.push(note)).await;
    for (name, bytes) in versions {
        match verify(&bytes, &expected) {
            Ok(verified) if verified.digest == digest => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return (Some(FileRow { task_id, producer, text }), Vec::new());
            }
            Ok(verified) => notes.push(format!(
                "{name}: its digest is {}, the certified one is {}",
                verified.digest.short(),
                digest.short()
            )),
            Err(refusal) => notes.push(format!("{name}: {refusal}")),
        }
    }
    (None, notes)
}

/// What a file must match: the constants in force when its task began.
pub(super) fn expected(
    id: FileId,
    history: &AllowlistHistory,
    consensus: &ConsensusSchedule,
    network: Network,
) -> Option<Expected> {
    let start = history.of_task(id.task_id)?.allowlist.start_of(id.task_id)?;
    Some(Expected { id, network, params: consensus.digest_at(start), accept_v1: false })
}

fn neurons(metagraph: &Metagraph) -> Vec<NeuronRow> {
    let row = |neuron: &leoma_chain::Neuron| NeuronRow {
        uid: neuron.uid,
        hotkey: neuron.hotkey,
        commit_block: metagraph.commitments.get(&neuron.hotkey).map(|commitment| commitment.block),
    };
    metagraph.neurons.iter().map(row).collect()
}

fn witnesses(metagraph: &Metagraph, mecid: u8) -> Vec<WitnessRow> {
    let is_witness = |bytes: &[u8]| Witness::decode_of(mecid, bytes).is_some();
    let plain = metagraph.plain.iter().filter(|(_, found)| is_witness(&found.bytes));
    let row = |(hotkey, found): (&leoma_protocol::Hotkey, &leoma_chain::PlainCommitment)| {
        let bytes = hex::encode(&found.bytes);
        WitnessRow { hotkey: *hotkey, committed_at: found.block, bytes }
    };
    plain.map(row).collect()
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Hotkey, TaskId};

    use super::*;

    #[tokio::test]
    async fn every_file_is_told_of_as_it_is_done() {
        let producer = Hotkey::from_bytes([1; 32]);
        let ids = [7, 8].map(|task| FileId { task_id: TaskId(task), producer });
        let row = FileRow { task_id: TaskId(7), producer, text: "{}".to_owned() };
        let looked = [(Some(row), Vec::new()), (None, vec!["gone".to_owned()])];
        let mut told = Vec::new();
        let (files, notes) = collect(stream::iter(looked), &ids, |line| told.push(line)).await;
        let expected = [
            format!("[1/2] task 7 of {producer}: read"),
            format!("[2/2] task 8 of {producer}: not read"),
        ];
        assert_eq!(told, expected);
        assert_eq!((files.len(), notes), (1, vec!["gone".to_owned()]));
    }
}
