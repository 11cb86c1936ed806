//! The newest view of a running validator, media from buckets, and what is posted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use leoma_chain::{ChainClient, Head, Metagraph};
use leoma_protocol::{BlockNumber, ConsensusSchedule, Digest, FileId, Hotkey, TaskId, verdict};
use leoma_rotation::{
    AllowlistHistory, EpochSnapshot, PolicyRecord, RecordEpoch, uncertified_epoch,
    uncertified_record_epoch,
};
use leoma_scoring::worker::ScorerPool;
use leoma_storage::{Bucket, Format, Key, OwnBucket, PeerBuckets, StoreError, TaskKey, TaskObject};
use leoma_web::view::{Epoch, TaskRecord, Verdict, View};
use leoma_web::{Board, Media, MediaObject, Subnet as ShownSubnet, Unavailable};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::own::Kept;
use super::records::Records;
use super::snapshot::Inputs;
use super::{epoch, record, verdict as shown_verdict};
use crate::config::{self, Plug};
use crate::corpus::MAX_PROOF_BYTES;
use crate::miners::MinerTable;
use crate::state::{EpochRecord, State, StateError};
use crate::subnet::Subnet;
use crate::verdicts::{Exchange, Library};
use crate::weights::{limits_of, snapshot_of};

/// How long a view is shown again, however many ask.
const VIEW_FOR: Duration = Duration::from_secs(2);
/// Epochs that are shown.
const SHOWN_EPOCHS: u32 = 60;
/// Largest picture or video that is passed on: miners' answers are no larger.
const MAX_MEDIA_BYTES: u64 = 64 << 20;
/// How long a measured pace of the chain is good for.
const PACE_FOR: Duration = Duration::from_secs(600);
/// How long a page waits for that measurement.
const PACE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of pictures and videos that are kept, as a player asks for a video in several parts: those
/// of one page, with twelve answers of about 2 MiB.
const KEPT_MEDIA_BYTES: usize = 32 << 20;
/// How long a presigned address is good for.
const PRESIGNED_FOR: Duration = Duration::from_secs(900);

/// What a running validator is shown from.
#[derive(Debug)]
pub(in crate::serve) struct Parts {
    /// `None` for `leoma api`.
    pub(in crate::serve) hotkey: Option<Hotkey>,
    pub(in crate::serve) consensus: Arc<ConsensusSchedule>,
    pub(in crate::serve) state: State,
    pub(in crate::serve) library: Library,
    /// `None` where this process has no part in the mesh.
    pub(in crate::serve) exchange: Option<Exchange>,
    pub(in crate::serve) chain: ChainClient,
    pub(in crate::serve) heads: watch::Receiver<Head>,
    pub(in crate::serve) head_moved: watch::Receiver<Instant>,
    /// The newest block's number, for those that follow it.
    pub(in crate::serve) numbers: watch::Receiver<u64>,
    pub(in crate::serve) subnet: Subnet,
    pub(in crate::serve) miners: Option<watch::Receiver<Arc<MinerTable>>>,
    pub(in crate::serve) own: Option<OwnBucket>,
    pub(in crate::serve) peers: Arc<PeerBuckets>,
    pub(in crate::serve) board: Arc<dyn Board>,
    /// As `MECHANISM` has it.
    pub(in crate::serve) mechanism: String,
    /// What makes its tasks.
    pub(in crate::serve) plug: Plug,
    /// The policy record that pays; `None` for video's rule.
    pub(in crate::serve) record: Option<Arc<PolicyRecord>>,
    /// Whether this process sets weights, and so witnesses.
    pub(in crate::serve) sets_weights: bool,
    /// `None` where this process scores nothing.
    pub(in crate::serve) scorer: Option<ScorerPool>,
}

#[derive(Debug, Default)]
struct Cache {
    view: Option<(Instant, Arc<View>)>,
    /// What held files say. Reading one again costs more than keeping it.
    verdicts: BTreeMap<(FileId, Digest), Arc<Verdict>>,
    /// The milliseconds that a block takes, and when that was measured.
    pace: Option<(Instant, u64)>,
}

/// The newest pictures and videos that were fetched, the last one at the end.
#[derive(Debug, Default)]
struct KeptMedia(VecDeque<(Media, Bytes)>);

impl KeptMedia {
    fn get(&self, media: Media) -> Option<Bytes> {
        self.0.iter().find(|(kept, _)| *kept == media).map(|(_, bytes)| bytes.clone())
    }

    fn keep(&mut self, media: Media, bytes: &Bytes) {
        if bytes.len() > KEPT_MEDIA_BYTES / 4 {
            return;
        }
        self.0.retain(|(kept, _)| *kept != media);
        self.0.push_back((media, bytes.clone()));
        let size = |kept: &VecDeque<(Media, Bytes)>| -> usize {
            kept.iter().map(|(_, bytes)| bytes.len()).sum()
        };
        while size(&self.0) > KEPT_MEDIA_BYTES {
            self.0.pop_front();
        }
    }
}

/// What pages and the API show of a running validator.
#[derive(Debug)]
pub(in crate::serve) struct Shown {
    parts: Parts,
    cache: Mutex<Cache>,
    records: Records,
    media: std::sync::Mutex<KeptMedia>,
}

impl Shown {
    pub(in crate::serve) fn new(parts: Parts) -> Self {
        Self {
            parts,
            cache: Mutex::default(),
            records: Records::default(),
            media: std::sync::Mutex::default(),
        }
    }

    /// Reads the files that are not in `verdicts` yet, and forgets those that are no longer held.
    async fn read_files(
        &self,
        mut verdicts: BTreeMap<(FileId, Digest), Arc<Verdict>>,
    ) -> Result<BTreeMap<(FileId, Digest), Arc<Verdict>>, Unavailable> {
        let (library, state) = (self.parts.library.clone(), self.parts.state.clone());
        let truths = self.parts.record.as_ref().map_or_else(Vec::new, |record| record.truths());
        let read = tokio::task::spawn_blocking(move || {
            let held = library.all();
            let keys: BTreeSet<(FileId, Digest)> =
                held.iter().map(|file| (file.id, file.digest)).collect();
            verdicts.retain(|key, _| keys.contains(key));
            let mut texts = None;
            for (id, digest) in keys {
                if verdicts.contains_key(&(id, digest)) {
                    continue;
                }
                let Some(file) = state.file(id, Some(digest)).ok().flatten() else { continue };
                let Some(expected) = library.expected(id) else { continue };
                if let Ok(verified) = verdict::verify(&file.bytes, &expected) {
                    let texts = texts
                        .get_or_insert_with(|| shown_verdict::Texts::of_all(verdicts.values()));
                    let shown = shown_verdict::shown(&verified, &truths, texts);
                    verdicts.insert((id, digest), Arc::new(shown));
                }
            }
            verdicts
        });
        read.await.map_err(|_| Unavailable("the verdict files cannot be read now".to_owned()))
    }

    async fn read(&self, cache: &mut Cache) -> Result<View, Unavailable> {
        // A copy: whoever asks may go away meanwhile, and what was read stays known.
        cache.verdicts = self.read_files(cache.verdicts.clone()).await?;
        let parts = &self.parts;
        let (mut mesh, mut reports) = (None, Vec::new());
        if let Some(exchange) = &parts.exchange {
            mesh = exchange.mesh().status().await.ok();
            reports = exchange.mesh().miner_reports().await.unwrap_or_default();
        }
        let (records, kept) = self.read_state().await?;
        let voice = mesh.as_ref().map(|mesh| mesh.voice);
        let metagraph = Arc::clone(&parts.subnet.metagraph.borrow());
        let history = Arc::clone(&parts.subnet.allowlists.borrow());
        let miners = parts.miners.as_ref().map(|miners| Arc::clone(&miners.borrow()));
        let age = parts.head_moved.borrow().elapsed();
        let newest = *parts.heads.borrow();
        let head = newest.number;
        let mut epochs: Vec<Epoch> =
            records.iter().map(|record| self.epoch(record, &history)).collect();
        if parts.exchange.is_none() {
            epochs.extend(self.computed(&metagraph, &history, head));
        }
        let block_ms = self.pace(newest, &mut cache.pace).await;
        let reporters = self.reporters().await;
        let inputs = Inputs {
            own: parts.hotkey,
            params: parts.consensus.at(head),
            head,
            block_ms,
            network: self.network(),
            mechanism: (parts.mechanism != "video").then(|| parts.mechanism.clone()),
            has_clips: parts.plug == Plug::Video,
            head_seen_at: now() - i64::try_from(age.as_secs()).unwrap_or(0),
            metagraph: &metagraph,
            history: &history,
            miners: miners.as_deref(),
            mesh: mesh.as_ref(),
            reports: &reports,
            reporters: &reporters,
            verdicts: &cache.verdicts,
            epochs,
            own_faults: kept.faults(voice, parts.scorer.as_ref().map(ScorerPool::counts)),
        };
        Ok(View::new(inputs.snapshot(parts.state.network())))
    }

    /// The newest epochs, and what the state has of our witnesses and reveals. Where no weights are
    /// set any more, old ones say nothing.
    async fn read_state(&self) -> Result<(Vec<EpochRecord>, Kept), Unavailable> {
        let sets_weights = self.parts.sets_weights;
        let read = self.parts.state.on_disk(move |state| {
            let kept = if sets_weights { Kept::read(state)? } else { Kept::default() };
            Ok::<_, StateError>((state.epochs(SHOWN_EPOCHS)?, kept))
        });
        read.await.map_err(|error| {
            tracing::error!(%error, "failed to read the epochs for the pages");
            Unavailable("the epochs cannot be read now".to_owned())
        })
    }

    /// The validators that report the miners to a process which has no part in the mesh.
    async fn reporters(&self) -> BTreeSet<Hotkey> {
        if self.parts.exchange.is_some() {
            return BTreeSet::new();
        }
        let reports = self.parts.board.reports().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read the reports for the pages");
            Vec::new()
        });
        let fresh = reports.iter().filter(|report| report.is_fresh(now()));
        fresh.filter_map(|report| report.validator.parse().ok()).collect()
    }

    /// An epoch, with the allowlist that the chain named at its boundary.
    fn epoch(&self, record: &EpochRecord, history: &AllowlistHistory) -> Epoch {
        let named = history.entries().iter().rev();
        let mut named = named.filter(|entry| entry.committed_at <= record.epoch_block);
        let allowlist = named.next().map(|entry| entry.allowlist.digest().to_string());
        Epoch { allowlist, ..epoch::shown(record) }
    }

    /// The newest epoch of a process that has no part in the mesh: by the files that it holds, for
    /// the miners that are registered now.
    fn computed(
        &self,
        metagraph: &Metagraph,
        history: &AllowlistHistory,
        head: BlockNumber,
    ) -> Option<Epoch> {
        let parts = &self.parts;
        let block = parts.consensus.at(head).epoch_block(head);
        let newest = snapshot_of(metagraph, parts.state.network().netuid.mecid());
        let snapshot = EpochSnapshot { block, ..newest };
        let (params, history) = (parts.consensus.at(block), &*history.as_of(block));
        let found = match &parts.record {
            None => {
                let files = parts.library.all();
                let (outcome, decision) = uncertified_epoch(params, history, &snapshot, &files);
                RecordEpoch { outcome, paid: None, decision }
            }
            Some(record) => {
                let (files, limits) = (parts.library.all_observed(), limits_of(metagraph));
                uncertified_record_epoch(params, history, &snapshot, &files, record, limits)
            }
        };
        epoch::computed(found)
    }

    /// The milliseconds that a block takes; the last measured ones where the chain does not answer.
    async fn pace(&self, head: Head, known: &mut Option<(Instant, u64)>) -> Option<u64> {
        if known.is_none_or(|(measured, _)| measured.elapsed() >= PACE_FOR) {
            match timeout(PACE_PATIENCE, self.parts.chain.pace(head)).await {
                Ok(Ok((_, Some(block_ms)))) => *known = Some((Instant::now(), block_ms)),
                Ok(Ok((_, None))) | Err(_) => {}
                Ok(Err(error)) => tracing::debug!(%error, "failed to measure the chain's pace"),
            }
        }
        known.map(|(_, block_ms)| block_ms)
    }

    /// The chain as `NETWORK` names it, for commands on other machines: a known one by its name, a
    /// chain on this machine by its address. Others' addresses may hold a key.
    fn network(&self) -> Option<String> {
        let genesis = self.parts.state.network().genesis;
        match config::name_of(&genesis) {
            Some("finney") => None,
            Some(name) => Some(name.to_owned()),
            None => {
                let local = |url: &String| {
                    let url = url::Url::parse(url).ok()?;
                    let host = url.host_str()?;
                    matches!(host, "127.0.0.1" | "localhost").then(|| {
                        format!("{}://{host}:{}", url.scheme(), url.port().unwrap_or(9944))
                    })
                };
                self.parts.chain.endpoints().iter().find_map(|endpoint| local(&endpoint.url))
            }
        }
    }

    async fn get(
        &self,
        producer: Hotkey,
        key: &Key,
        limit: u64,
    ) -> Result<Option<Bytes>, Unavailable> {
        let failed = |error: StoreError| {
            tracing::debug!(%error, "failed to read a bucket for a page");
            Unavailable("the sampler's bucket cannot be read now".to_owned())
        };
        if Some(producer) == self.parts.hotkey {
            let own = self.parts.own.as_ref();
            let own = own.ok_or_else(|| Unavailable("this process has no bucket".to_owned()))?;
            return own.bucket().get(key, limit).await.map_err(failed);
        }
        let peer = self.parts.peers.get(&producer);
        let peer = peer.ok_or_else(|| {
            Unavailable("the sampler has not granted access to its bucket".to_owned())
        })?;
        peer.get_for_page(key, limit).await.map_err(failed)
    }

    async fn read_record(&self, id: FileId) -> Result<Option<Arc<TaskRecord>>, Unavailable> {
        let key = TaskKey::new(id.task_id, TaskObject::Metadata).into();
        let Some(bytes) = self.get(id.producer, &key, MAX_PROOF_BYTES).await? else {
            return Ok(None);
        };
        let history = Arc::clone(&self.parts.subnet.allowlists.borrow());
        let allowlist =
            history.of_task(id.task_id).map(|entry| entry.allowlist.digest().to_string());
        Ok(record::shown(self.parts.plug, &bytes, id, allowlist).map(Arc::new))
    }

    /// Our own bucket: a peer's keys were granted to us, and sign no addresses for others.
    fn presigning(&self, producer: Hotkey) -> Option<&Bucket> {
        self.parts
            .own
            .as_ref()
            .filter(|_| Some(producer) == self.parts.hotkey)
            .map(OwnBucket::bucket)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn key_of(media: Media) -> Key {
    let object = match media.object {
        MediaObject::Metadata => TaskObject::Metadata,
        MediaObject::FirstFrame => TaskObject::FirstFrame,
        MediaObject::Clip => TaskObject::OriginalClip,
        MediaObject::Answer(miner) => TaskObject::GeneratedVideo(miner),
        MediaObject::Sound => TaskObject::Challenge(Format::Wav),
        MediaObject::Reference => TaskObject::Reference(Format::Bvh),
        MediaObject::Motion(miner) => TaskObject::Answer(miner, Format::Bvh),
    };
    TaskKey::new(TaskId(media.task_id), object).into()
}

#[async_trait::async_trait]
impl ShownSubnet for Shown {
    async fn view(&self) -> Result<Arc<View>, Unavailable> {
        // Whoever comes while a view is made waits for it and gets it.
        let mut cache = self.cache.lock().await;
        if let Some((made, view)) =
            cache.view.as_ref().filter(|(made, _)| made.elapsed() < VIEW_FOR)
        {
            tracing::trace!(age = ?made.elapsed(), "view shown again");
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(self.read(&mut cache).await?);
        cache.view = Some((Instant::now(), Arc::clone(&view)));
        Ok(view)
    }

    fn heads(&self) -> watch::Receiver<u64> {
        self.parts.numbers.clone()
    }

    async fn record(
        &self,
        task_id: u64,
        producer: Hotkey,
    ) -> Result<Option<Arc<TaskRecord>>, Unavailable> {
        let id = FileId { task_id: TaskId(task_id), producer };
        self.records.get_or_read(id, self.read_record(id)).await
    }

    async fn media(&self, media: Media) -> Result<Option<Bytes>, Unavailable> {
        let kept = || self.media.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept().get(media) {
            return Ok(Some(bytes));
        }
        let limit = match media.object {
            MediaObject::Metadata => MAX_PROOF_BYTES,
            _ => MAX_MEDIA_BYTES,
        };
        let bytes = self.get(media.producer, &key_of(media), limit).await?;
        if let Some(bytes) = &bytes {
            kept().keep(media, bytes);
        }
        Ok(bytes)
    }

    async fn presign(&self, media: Media) -> Option<String> {
        let bucket = self.presigning(media.producer)?;
        let address = bucket.presign_get(&key_of(media), PRESIGNED_FOR).await.ok()?;
        Some(address.expose().to_string())
    }

    fn allowlist(&self, digest: &str) -> Option<String> {
        let history = Arc::clone(&self.parts.subnet.allowlists.borrow());
        let lists = history.entries().iter().map(|entry| &entry.allowlist);
        let mut named = lists.filter(|list| list.digest().to_string() == digest);
        named.next().map(|list| list.canonical_json())
    }

    fn board(&self) -> Option<Arc<dyn Board>> {
        Some(Arc::clone(&self.parts.board))
    }
}
