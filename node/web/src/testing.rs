//! A made-up subnet of any size, and a source that shows it: for tests and benchmarks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use leoma_protocol::Hotkey;
use leoma_protocol::verdict::AspectScores;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::board::{Blacklisted, Board, BoardError, PostedSample, Report, Sample, WantedSamples};
use crate::source::{Media, MediaObject, ReadyCheck, Source, Subnet, Unavailable};
use crate::view::{
    Entry, Epoch, FileName, HeldTo, HotkeyText, Link, Measure, Miner, Needed, OwnFaults, Rank,
    Snapshot, TaskFile, TaskRecord, Turn, Validator, Validity, Verdict, View, WeightsOnChain,
    Witnessed,
};

/// How large a subnet is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Miners.
    pub miners: usize,
    /// Tasks of the window.
    pub tasks: usize,
    /// Validators.
    pub validators: usize,
}

/// The newest block of every made-up subnet, and when it was seen.
const HEAD: u64 = 7_200_000;
const SEEN_AT: i64 = 1_780_000_000;
const INTERVAL: u64 = 100;

fn hotkey(kind: u8, number: usize) -> HotkeyText {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Hotkey::from_bytes(bytes).to_string().into()
}

/// A healthy subnet. The same scale gives the same subnet.
pub fn subnet(scale: Scale) -> Snapshot {
    let validators: Vec<HotkeyText> = (0..scale.validators).map(|n| hotkey(1, n)).collect();
    let mut miners: Vec<HotkeyText> = (0..scale.miners).map(|n| hotkey(2, n)).collect();
    miners.sort();
    let head_task = HEAD / INTERVAL;
    let first_task = head_task - 2 - scale.tasks as u64;
    let files: Vec<TaskFile> = (0..scale.tasks)
        .map(|n| {
            file(first_task + n as u64, &validators[n % scale.validators], &validators, &miners)
        })
        .collect();
    let shown = |(uid, hotkey): (usize, &HotkeyText)| Validator {
        hotkey: hotkey.clone(),
        uid: Some(uid as u16),
        stake: 1000.0 + uid as f64,
        listed: true,
        online: true,
        agent: Some("leoma/0.1.0".to_owned()),
        expected_turns: (scale.tasks / scale.validators) as u32,
        double_signatures: 0,
    };
    Snapshot {
        version: "0.1.0".to_owned(),
        netuid: 99,
        genesis: "2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03".to_owned(),
        own_hotkey: validators.first().cloned(),
        head: HEAD,
        head_seen_at: SEEN_AT,
        block_ms: Some(12_000),
        network: None,
        epoch_blocks: 180,
        epoch: HEAD / 180 * 180,
        next_epoch: HEAD / 180 * 180 + 180,
        mechanism: None,
        has_clips: true,
        turn: Some(Turn {
            task_id: head_task,
            start_block: HEAD,
            interval: INTERVAL,
            grace_blocks: INTERVAL / 2,
            producers: validators.iter().take(2).cloned().collect(),
            step: 0,
        }),
        validators: validators.iter().enumerate().map(shown).collect(),
        miners: miners.iter().enumerate().map(|one| miner(scale.validators, one)).collect(),
        reports: Vec::new(),
        window: Some((first_task, head_task - 3)),
        epochs: vec![epoch(&files, &miners, &validators)],
        links: validators.iter().skip(1).enumerate().map(link).collect(),
        own_faults: OwnFaults { scorers: Some((1, 1)), ..OwnFaults::default() },
        files,
    }
}

fn link((number, hotkey): (usize, &HotkeyText)) -> Link {
    Link {
        hotkey: hotkey.clone(),
        mutual: number % 7 != 6,
        rtt_ms: Some(3.5 + number as f64),
        head: Some(HEAD),
        relayed: false,
    }
}

fn miner(validators: usize, (number, hotkey): (usize, &HotkeyText)) -> Miner {
    let invalid = Validity::Invalid("revision_mismatch:chute=0badc0de".to_owned());
    Miner {
        hotkey: hotkey.clone(),
        uid: Some((validators + number) as u16),
        commit_block: Some(HEAD - 50_000 + number as u64),
        model_name: Some(format!("owner/leoma-{hotkey}")),
        model_revision: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        model_hash: Some("5".repeat(64)),
        chute_id: Some("7c1f0f2e-9d1a-4a39-8f3e-000000000000".to_owned()),
        chute_slug: Some(format!("leoma-{number}")),
        validity: if number % 9 == 8 { invalid } else { Validity::Valid },
        checked_at: Some(HEAD - 10),
    }
}

fn file(
    task_id: u64,
    producer: &HotkeyText,
    validators: &[HotkeyText],
    miners: &[HotkeyText],
) -> TaskFile {
    let entries = miners.iter().enumerate().map(|(number, miner)| {
        let passed = !(task_id as usize + number).is_multiple_of(3);
        let score = if passed { 820 + (number % 100) as u16 } else { 430 };
        Entry {
            miner: miner.clone(),
            passed,
            status: if passed { "passed" } else { "failed" }.into(),
            confidence: 90,
            reasoning: if passed { "all aspects pass" } else {
                "temporal_consistency 43.0: held down by drift 0.31 (all points at 0.05, none at 0.40)"
            }.into(),
            latency_ms: 12_000 + number as u64,
            score: Some(score),
            aspects: Some(AspectScores {
                first_frame_fidelity: score,
                prompt_adherence: score,
                motion_quality: score,
                temporal_consistency: score,
                visual_quality: score,
                camera_composition: score,
            }),
            has_video: true,
            observations: Box::default(),
            is_reading: false,
        }
    });
    let verdict = Verdict {
        task_id,
        producer: producer.clone(),
        digest: "d".repeat(64),
        block: task_id * INTERVAL + 20,
        judge: "local/1:policy=0123456789ab".to_owned(),
        needed: Needed { overall: 750, aspects: [500, 500, 0, 500, 0, 0], measure: 500 },
        entries: entries.collect(),
    };
    TaskFile {
        verdict: Arc::new(verdict),
        in_window: true,
        certified: true,
        attesters: validators.to_vec(),
        refusals: Vec::new(),
        left_out: None,
    }
}

fn epoch(files: &[TaskFile], miners: &[HotkeyText], validators: &[HotkeyText]) -> Epoch {
    let slot = validators.len() as u16;
    let set = |validator: &HotkeyText| WeightsOnChain {
        validator: validator.clone(),
        weights: vec![(slot, u16::MAX)],
        compared: "same".to_owned(),
    };
    let name = |file: &TaskFile| FileName {
        task_id: file.verdict.task_id,
        producer: file.verdict.producer.clone(),
    };
    // Half of the validators do not hold every other file yet.
    let witnessed = |(number, file): (usize, &TaskFile)| {
        let others = if number % 2 == 1 { validators.len() / 2 } else { 0 };
        Witnessed { file: name(file), by: validators[others..].to_vec() }
    };
    let rank = |(number, miner): (usize, &HotkeyText)| Rank {
        rank: number as u32 + 1,
        miner: miner.clone(),
        passed: 60,
        rate: 0.7 - number as f64 / 1000.0,
        block: Some(HEAD - 50_000 + number as u64),
        share: None,
    };
    Epoch {
        block: HEAD / 180 * 180,
        state: "set".to_owned(),
        reason: "known: won the window".to_owned(),
        winner: miners.first().cloned(),
        winner_uid: Some(slot),
        required_validators: validators.len().div_ceil(2) as u32,
        counted: files.iter().map(name).collect(),
        ranks: miners.iter().enumerate().map(rank).collect(),
        witnesses: validators.to_vec(),
        required_witnesses: validators.len().div_ceil(2) as u32,
        witnessed: files.iter().enumerate().map(witnessed).collect(),
        weights: validators.iter().map(set).collect(),
        allowlist: Some("a".repeat(64)),
        ..Epoch::default()
    }
}

/// Shows one view for ever, and keeps what is posted in memory.
#[derive(Debug)]
pub struct MemorySource {
    subnet: Arc<MemorySubnet>,
}

#[derive(Debug)]
struct MemorySubnet {
    view: Arc<View>,
    heads: watch::Sender<u64>,
    board: Arc<MemoryBoard>,
    frame: Bytes,
    video: Bytes,
}

impl MemorySource {
    /// A source of this snapshot. Its media are a few bytes and not pictures.
    pub fn new(snapshot: Snapshot) -> Self {
        let (frame, video) = (Bytes::from_static(b"\x89PNG"), Bytes::from_static(b"0123456789"));
        Self::with_media(snapshot, frame, video)
    }

    /// A source of this snapshot in which every picture and every video is the same.
    pub fn with_media(snapshot: Snapshot, frame: Bytes, video: Bytes) -> Self {
        let (heads, _) = watch::channel(snapshot.head);
        let view = Arc::new(View::new(snapshot));
        let board = Arc::default();
        Self { subnet: Arc::new(MemorySubnet { view, heads, board, frame, video }) }
    }

    /// Its board.
    pub fn board(&self) -> Arc<dyn Board> {
        Arc::<MemoryBoard>::clone(&self.subnet.board)
    }
}

#[async_trait::async_trait]
impl Subnet for MemorySubnet {
    async fn view(&self) -> Result<Arc<View>, Unavailable> {
        Ok(Arc::clone(&self.view))
    }

    fn heads(&self) -> watch::Receiver<u64> {
        self.heads.subscribe()
    }

    async fn record(&self, _: u64, _: Hotkey) -> Result<Option<Arc<TaskRecord>>, Unavailable> {
        let measure =
            |name: &str, value, held_to| Measure { name: name.to_owned(), value, held_to };
        let drift = HeldTo { aspect: "temporal_consistency", none: 0.4, full: 0.05, points: 25.7 };
        let measures = vec![measure("drift", 0.31, Some(drift)), measure("psnr", 31.2, None)];
        let miners = self.view.snapshot.miners.iter();
        Ok(Some(Arc::new(TaskRecord {
            prompt: Some("A boat turns <slowly> in the harbour".to_owned()),
            task_type: "ti2v".to_owned(),
            proof: vec![("source video", "clips/harbour.mp4".to_owned())],
            measures: miners.map(|miner| (miner.hotkey.to_string(), measures.clone())).collect(),
            allowlist: Some("a".repeat(64)),
        })))
    }

    async fn media(&self, media: Media) -> Result<Option<Bytes>, Unavailable> {
        Ok(Some(match media.object {
            MediaObject::Metadata => Bytes::from_static(b"{}"),
            MediaObject::FirstFrame => self.frame.clone(),
            _ => self.video.clone(),
        }))
    }

    async fn presign(&self, media: Media) -> Option<String> {
        Some(format!("https://bucket.example/{}?X-Amz-Signature=0", media.task_id))
    }

    fn allowlist(&self, digest: &str) -> Option<String> {
        (digest == "a".repeat(64)).then(|| "{}".to_owned())
    }

    fn board(&self) -> Option<Arc<dyn Board>> {
        Some(Arc::<MemoryBoard>::clone(&self.board))
    }
}

#[async_trait::async_trait]
impl Source for MemorySource {
    fn subnet(&self) -> Arc<dyn Subnet> {
        Arc::<MemorySubnet>::clone(&self.subnet)
    }

    fn readiness(&self) -> Vec<ReadyCheck> {
        let check = |name, ok, detail: &str| ReadyCheck { name, ok, detail: detail.to_owned() };
        vec![check("chain", true, "block 7"), check("mesh", false, "0 of 3 peers")]
    }

    async fn metrics(&self) -> Result<String, std::fmt::Error> {
        Ok("# EOF\n".to_owned())
    }

    async fn status(&self) -> Value {
        json!({ "ready": false })
    }

    async fn agreement(&self) -> Result<String, String> {
        Err("the mesh has stopped".to_owned())
    }

    async fn verdict(&self, task_id: u64, _: &str) -> Option<Vec<u8>> {
        (task_id == 7).then(|| b"{}".to_vec())
    }

    fn settings(&self) -> Vec<[String; 3]> {
        vec![["CHUTES_API_KEY", "(hidden)", "environment"].map(str::to_owned)]
    }

    fn machine(&self) -> Vec<[String; 2]> {
        vec![["device", "cpu"].map(str::to_owned)]
    }
}

#[derive(Debug, Default)]
struct Posted {
    blacklist: BTreeMap<String, Blacklisted>,
    samples: Vec<PostedSample>,
    reports: BTreeMap<String, Report>,
}

/// A board in memory.
#[derive(Debug, Default)]
pub struct MemoryBoard(Mutex<Posted>);

impl MemoryBoard {
    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Board for MemoryBoard {
    async fn blacklist(&self) -> Result<Vec<Blacklisted>, BoardError> {
        Ok(self.posted().blacklist.values().cloned().collect())
    }

    async fn blacklist_add(&self, entry: Blacklisted) -> Result<(), BoardError> {
        self.posted().blacklist.insert(entry.hotkey.clone(), entry);
        Ok(())
    }

    async fn blacklist_remove(&self, hotkey: &str) -> Result<bool, BoardError> {
        Ok(self.posted().blacklist.remove(hotkey).is_some())
    }

    async fn add_samples(
        &self,
        validator: &str,
        at: i64,
        samples: Vec<Sample>,
    ) -> Result<(), BoardError> {
        let posted = &mut self.posted().samples;
        for sample in samples {
            let same = |one: &PostedSample| {
                one.validator == validator
                    && one.sample.task_id == sample.task_id
                    && one.sample.miner_hotkey == sample.miner_hotkey
            };
            posted.retain(|one| !same(one));
            let id = posted.last().map_or(0, |one| one.id) + 1;
            posted.push(PostedSample { id, validator: validator.to_owned(), at, sample });
        }
        Ok(())
    }

    async fn samples(&self, wanted: WantedSamples) -> Result<Vec<PostedSample>, BoardError> {
        let takes = |one: &&PostedSample| {
            wanted.task_id.is_none_or(|task| task == one.sample.task_id)
                && wanted.validator.as_ref().is_none_or(|validator| *validator == one.validator)
                && wanted.miner.as_ref().is_none_or(|miner| *miner == one.sample.miner_hotkey)
                && !wanted.without.contains(&(one.sample.task_id, one.validator.clone()))
        };
        let posted = self.posted();
        let wanted_rows = posted.samples.iter().rev().filter(takes).skip(wanted.skip);
        Ok(wanted_rows.take(wanted.limit).cloned().collect())
    }

    async fn put_report(&self, report: Report) -> Result<(), BoardError> {
        self.posted().reports.insert(report.validator.clone(), report);
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<Report>, BoardError> {
        Ok(self.posted().reports.values().cloned().collect())
    }

    async fn forget_others(&self, listed: Vec<String>) -> Result<(), BoardError> {
        let mut posted = self.posted();
        posted.samples.retain(|one| listed.contains(&one.validator));
        posted.reports.retain(|validator, _| listed.contains(validator));
        Ok(())
    }
}
