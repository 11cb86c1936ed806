//! From the validator's parts to a snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use leoma_chain::{Metagraph, Neuron};
use leoma_protocol::mesh::{FileView, MeshStatus};
use leoma_protocol::messages::{MinerReport, ReportedMiner};
use leoma_protocol::{
    BlockNumber, ConsensusParams, Digest, FileId, Hotkey, MinerCommitment, Network, TaskId,
};
use leoma_rotation::{AllowlistHistory, WindowRange};
use leoma_web::view::{
    Epoch, GossipedReport, HotkeyText, Link, Miner, OwnFaults, Snapshot, TaskFile, Turn, Validator,
    Validity as Shown, Verdict,
};

use super::online::Signs;
use crate::miners::{MinerTable, Validity};

/// Rao in one TAO.
const RAO: f64 = 1e9;
/// Most miners that are shown without a commitment, because an epoch or a file names them: twice
/// the slots of a subnet. Those that lost their slot lately are fewer; a peer's file may name
/// hotkeys that never had one.
const MAX_UNCOMMITTED: usize = 512;

/// What a snapshot is made from.
pub(super) struct Inputs<'a> {
    /// `None` for `leoma api`.
    pub(super) own: Option<Hotkey>,
    pub(super) params: &'a ConsensusParams,
    pub(super) head: BlockNumber,
    /// When the head was seen, in seconds since 1970.
    pub(super) head_seen_at: i64,
    pub(super) block_ms: Option<u64>,
    /// The chain as `NETWORK` names it, where it is not the live one.
    pub(super) network: Option<String>,
    /// The mechanism, where it is not video's.
    pub(super) mechanism: Option<String>,
    /// Whether its tasks are about clips of videos.
    pub(super) has_clips: bool,
    pub(super) metagraph: &'a Metagraph,
    pub(super) history: &'a AllowlistHistory,
    pub(super) miners: Option<&'a MinerTable>,
    /// `None` where this process has no part in the mesh: then every held file speaks for its task.
    pub(super) mesh: Option<&'a MeshStatus>,
    /// What validators gossip of the miners.
    pub(super) reports: &'a [Arc<MinerReport>],
    /// Validators that report the miners to a process which has no part in the mesh.
    pub(super) reporters: &'a BTreeSet<Hotkey>,
    /// The files that are held, each with what it says.
    pub(super) verdicts: &'a BTreeMap<(FileId, Digest), Arc<Verdict>>,
    pub(super) epochs: Vec<Epoch>,
    /// What is wrong with this validator itself.
    pub(super) own_faults: OwnFaults,
}

impl Inputs<'_> {
    pub(super) fn snapshot(self, of: Network) -> Snapshot {
        let names = Names::default();
        let chosen = self.window();
        let window = chosen
            .first()
            .zip(chosen.last())
            .map(|((first, _), (last, _))| (first.task_id.0, last.task_id.0));
        let chosen: BTreeSet<(FileId, Digest)> = chosen.into_iter().collect();
        let mut files = self.files(&chosen, &names);
        files.sort_by(|a, b| {
            let key = |file: &TaskFile| (file.verdict.task_id, Arc::clone(&file.verdict.producer));
            key(a).cmp(&key(b))
        });
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            netuid: of.netuid.subnet().0,
            genesis: of.genesis.to_string(),
            own_hotkey: self.own.map(|own| names.of(own)),
            head: self.head.0,
            head_seen_at: self.head_seen_at,
            block_ms: self.block_ms,
            network: self.network.clone(),
            epoch_blocks: self.params.epoch_blocks,
            epoch: self.params.epoch_block(self.head).0,
            next_epoch: self.params.next_epoch_block(self.head).0,
            mechanism: self.mechanism.clone(),
            has_clips: self.has_clips,
            turn: self.turn(&names),
            validators: self.validators(window, &names),
            miners: self.miners(&names),
            reports: self.reports(&names),
            files,
            window,
            links: self.links(&names),
            own_faults: self.own_faults,
            epochs: self.epochs,
        }
    }

    /// The certified files (without the mesh: those that are held) that speak for the newest
    /// settled tasks now, oldest first: of each task the one of the lowest step. The next epoch may
    /// count fewer, by its witnesses.
    fn window(&self) -> Vec<(FileId, Digest)> {
        let range = WindowRange::new(self.params, self.history, self.head);
        let mut speaking: BTreeMap<TaskId, (usize, FileId, Digest)> = BTreeMap::new();
        let candidates: Vec<(FileId, Digest)> = match self.mesh {
            Some(mesh) => {
                mesh.files.iter().filter_map(|file| Some((file.file, file.certified?))).collect()
            }
            None => self.verdicts.keys().copied().collect(),
        };
        for (id, digest) in candidates {
            let Ok(step) = range.admit(&id) else { continue };
            let this = (step, id, digest);
            let speaks = speaking.entry(id.task_id).or_insert(this);
            *speaks = (*speaks).min(this);
        }
        let skipped = speaking.len().saturating_sub(self.params.window_tasks as usize);
        speaking.into_values().skip(skipped).map(|(_, id, digest)| (id, digest)).collect()
    }

    fn files(&self, window: &BTreeSet<(FileId, Digest)>, names: &Names) -> Vec<TaskFile> {
        let mesh = self.mesh.map_or(&[][..], |mesh| &mesh.files);
        let known: HashMap<FileId, &FileView> = mesh.iter().map(|file| (file.file, file)).collect();
        let left_out = self.epochs.first().map_or(&[][..], |epoch| &epoch.left_out);
        let left_out: HashMap<(u64, &str), &String> =
            left_out.iter().map(|(file, why)| ((file.task_id, &*file.producer), why)).collect();
        let file = |(key, verdict): (&(FileId, Digest), &Arc<Verdict>)| {
            let view = known.get(&key.0);
            let attesters = view.and_then(|view| {
                view.attesters.iter().find(|(digest, _)| *digest == key.1).map(|(_, who)| who)
            });
            let refusals = view.into_iter().flat_map(|view| &view.refused);
            TaskFile {
                verdict: Arc::clone(verdict),
                in_window: window.contains(key),
                certified: view.is_some_and(|view| view.certified == Some(key.1)),
                attesters: attesters.into_iter().flatten().map(|who| names.of(*who)).collect(),
                refusals: refusals.map(|(who, why)| (names.of(*who), why.to_string())).collect(),
                left_out: left_out
                    .get(&(verdict.task_id, &*verdict.producer))
                    .map(|why| (*why).clone()),
            }
        };
        self.verdicts.iter().map(file).collect()
    }

    fn turn(&self, names: &Names) -> Option<Turn> {
        let schedule = self.history.schedule_at(self.head, self.params)?;
        let allowlist = schedule.allowlist();
        let task_id = allowlist.task_at(self.head);
        let held = |producer: &Hotkey| {
            let id = FileId { task_id, producer: *producer };
            self.verdicts.range((id, Digest([0; 32]))..=(id, Digest([u8::MAX; 32]))).next()
        };
        let producers: Vec<Hotkey> = schedule.producers(task_id).collect();
        let produced = producers.iter().position(|producer| held(producer).is_some());
        Some(Turn {
            task_id: task_id.0,
            start_block: allowlist.start_of(task_id)?.0,
            interval: allowlist.interval(),
            grace_blocks: schedule.grace_blocks(),
            step: produced.unwrap_or_else(|| schedule.failover_step(self.head)),
            producers: producers.into_iter().map(|producer| names.of(producer)).collect(),
        })
    }

    fn validators(&self, window: Option<(u64, u64)>, names: &Names) -> Vec<Validator> {
        let newest = self.history.entries().last();
        let listed = newest.map_or(&[][..], |entry| entry.allowlist.validators());
        let permitted = self.metagraph.neurons.iter().filter(|neuron| neuron.validator_permit);
        let all: BTreeSet<Hotkey> =
            listed.iter().copied().chain(permitted.map(|neuron| neuron.hotkey)).collect();
        let (turns, seen) = (self.turns(window), self.seen());
        let one = |hotkey: &Hotkey| {
            let neuron = self.metagraph.neuron(hotkey);
            let peer = self.peers().find(|peer| peer.view.hotkey == Some(*hotkey));
            let evidence = self.mesh.map_or(&[][..], |mesh| &mesh.evidence);
            Validator {
                hotkey: names.of(*hotkey),
                uid: neuron.map(|neuron| neuron.uid.0),
                stake: neuron.map_or(0.0, |neuron| neuron.stake as f64 / RAO),
                listed: listed.contains(hotkey),
                online: Some(*hotkey) == self.own || peer.is_some() || seen.contains(hotkey),
                agent: peer.and_then(|peer| peer.agent.clone()),
                expected_turns: turns.get(hotkey).copied().unwrap_or(0),
                double_signatures: evidence.iter().filter(|one| one.accused == *hotkey).count()
                    as u32,
            }
        };
        all.iter().map(one).collect()
    }

    /// The validators that were seen to work, for a process without peers.
    fn seen(&self) -> BTreeSet<Hotkey> {
        if self.own.is_some() {
            return BTreeSet::new();
        }
        let signs = Signs {
            head: self.head,
            epoch_blocks: self.params.epoch_blocks,
            neurons: &self.metagraph.neurons,
            verdicts: self.verdicts,
            reporters: self.reporters,
        };
        signs.seen()
    }

    /// How many tasks of the window were each validator's own.
    fn turns(&self, window: Option<(u64, u64)>) -> HashMap<Hotkey, u32> {
        let mut turns = HashMap::new();
        let Some((first, last)) = window else { return turns };
        // The lookback bounds the window's tasks.
        for task in (first..=last).map(TaskId) {
            let schedule = self.history.schedule_of(task, self.params);
            if let Some(primary) = schedule.and_then(|schedule| schedule.primary(task)) {
                *turns.entry(primary).or_insert(0) += 1;
            }
        }
        turns
    }

    fn peers(&self) -> impl Iterator<Item = &leoma_protocol::mesh::PeerStatus> {
        self.mesh.into_iter().flat_map(|mesh| &mesh.peers)
    }

    fn links(&self, names: &Names) -> Vec<Link> {
        let link = |peer: &leoma_protocol::mesh::PeerStatus| {
            Some(Link {
                hotkey: names.of(peer.view.hotkey?),
                mutual: peer.view.mutual,
                rtt_ms: peer.rtt_ms,
                head: peer.view.head.map(|head| head.0),
                relayed: peer.relayed,
            })
        };
        let mut links: Vec<Link> = self.peers().filter_map(link).collect();
        links.sort_by(|a, b| a.hotkey.cmp(&b.hotkey));
        links
    }

    fn reports(&self, names: &Names) -> Vec<GossipedReport> {
        let miner = |miner: &ReportedMiner| {
            (names.of(miner.hotkey), (!miner.valid).then(|| miner.reason.clone()))
        };
        let report = |report: &Arc<MinerReport>| GossipedReport {
            validator: names.of(report.reporter),
            block: report.block.0,
            miners: report.miners.iter().map(miner).collect(),
        };
        self.reports.iter().map(report).collect()
    }

    /// The neurons that are miners, then the miners that only epochs and files name, so that every
    /// link to a miner leads somewhere.
    fn miners(&self, names: &Names) -> Vec<Miner> {
        let neurons = self.metagraph.neurons.iter();
        let mut miners: Vec<Miner> =
            neurons.filter_map(|neuron| self.miner(neuron, names)).collect();
        let mut known: HashSet<HotkeyText> =
            miners.iter().map(|miner| Arc::clone(&miner.hotkey)).collect();
        let is_new = |hotkey: &&HotkeyText| known.insert((*hotkey).clone());
        let others: Vec<&HotkeyText> = self.named().filter(is_new).take(MAX_UNCOMMITTED).collect();
        miners.extend(others.into_iter().map(|hotkey| self.uncommitted(hotkey)));
        miners
    }

    /// The miners that epochs and held files name, the newest first. Those with a rank come before
    /// all others: they had a slot, so no peer made them up.
    fn named(&self) -> impl Iterator<Item = &HotkeyText> {
        let ranked = self.epochs.iter().flat_map(|epoch| {
            epoch.winner.iter().chain(epoch.ranks.iter().map(|rank| &rank.miner))
        });
        let entries = self.verdicts.values().rev().flat_map(|verdict| &verdict.entries);
        let judged = entries.filter(|entry| !entry.is_reading).map(|entry| &entry.miner);
        let ineligible = self.epochs.iter().flat_map(|epoch| &epoch.ineligible);
        ranked.chain(judged).chain(ineligible.map(|(miner, _)| miner))
    }

    /// A miner that has no commitment and was not checked: it may have lost its slot.
    fn uncommitted(&self, hotkey: &HotkeyText) -> Miner {
        let uid = hotkey.parse().ok().and_then(|hotkey: Hotkey| self.metagraph.uid(&hotkey));
        Miner { hotkey: hotkey.clone(), uid: uid.map(|uid| uid.0), ..Miner::default() }
    }

    fn miner(&self, neuron: &Neuron, names: &Names) -> Option<Miner> {
        let commitment = self.metagraph.commitments.get(&neuron.hotkey);
        let state = self.miners.and_then(|table| table.miners.get(&neuron.hotkey));
        // Where miners are asked through their axons, they need no commitment.
        if commitment.is_none() && state.is_none() {
            return None;
        }
        let text = commitment.map(|commitment| commitment.text.as_str());
        // The owner's commitment names the allowlist, not a model.
        if text.is_some_and(|text| leoma_rotation::allowlist::committed_hash(text).is_some()) {
            return None;
        }
        let parsed = text.and_then(|text| MinerCommitment::parse(text, &neuron.hotkey).ok());
        let (validity, hash, slug) = match state.map(|state| &state.validity) {
            Some(Validity::Valid { slug, model_hash, .. }) => {
                (Shown::Valid, Some(model_hash.clone()), Some(slug.clone()))
            }
            Some(Validity::Served { .. }) => (Shown::Valid, None, None),
            Some(Validity::Invalid { reason }) => (Shown::Invalid(reason.clone()), None, None),
            Some(Validity::Unknown { .. }) | None => (Shown::Unknown, None, None),
        };
        Some(Miner {
            hotkey: names.of(neuron.hotkey),
            uid: Some(neuron.uid.0),
            commit_block: commitment.map(|commitment| commitment.block.0),
            model_name: parsed.as_ref().map(|parsed| parsed.model_name.clone()),
            model_revision: parsed.as_ref().map(|parsed| parsed.model_revision.clone()),
            chute_id: parsed.map(|parsed| parsed.chute_id),
            model_hash: hash,
            chute_slug: slug,
            validity,
            checked_at: state.and(self.miners).map(|table| table.block.0),
        })
    }
}

/// Hotkeys as texts, each encoded once.
#[derive(Default)]
struct Names(std::cell::RefCell<HashMap<Hotkey, HotkeyText>>);

impl Names {
    fn of(&self, hotkey: Hotkey) -> HotkeyText {
        let mut known = self.0.borrow_mut();
        Arc::clone(known.entry(hotkey).or_insert_with(|| hotkey.to_string().into()))
    }
}

#[cfg(test)]
mod tests {
    use leoma_protocol::{Netuid, Uid};
    use leoma_web::view::{Entry, Rank};

    use super::*;

    fn hotkey(number: u16) -> Hotkey {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Hotkey::from_bytes(bytes)
    }

    fn text(number: u16) -> HotkeyText {
        hotkey(number).to_string().into()
    }

    fn metagraph(registered: &[u16]) -> Metagraph {
        let neuron = |number: &u16| Neuron {
            uid: Uid(*number),
            hotkey: hotkey(*number),
            validator_permit: false,
            stake: 0,
            last_update: BlockNumber(0),
            registered_at: BlockNumber(1),
            axon: None,
            axon_block: BlockNumber(0),
        };
        Metagraph {
            block: BlockNumber(900),
            owner: hotkey(999),
            min_weights: 1,
            max_weight: u16::MAX,
            serving_rate_limit: 0,
            neurons: registered.iter().map(neuron).collect(),
            commitments: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            plain: BTreeMap::new(),
        }
    }

    /// A file of producer 1 with an entry on each of these.
    fn file(task: u64, miners: impl Iterator<Item = u16>) -> ((FileId, Digest), Arc<Verdict>) {
        let id = FileId { task_id: TaskId(task), producer: hotkey(1) };
        let entry = |number: u16| Entry {
            miner: text(number),
            is_reading: number == 1,
            ..Entry::default()
        };
        let verdict = Verdict {
            task_id: task,
            producer: text(1),
            entries: miners.map(entry).collect(),
            ..Verdict::default()
        };
        ((id, Digest::of(b"file")), Arc::new(verdict))
    }

    /// Every miner that is shown, with its slot.
    fn miners(
        registered: &[u16],
        verdicts: &BTreeMap<(FileId, Digest), Arc<Verdict>>,
        epochs: Vec<Epoch>,
    ) -> Vec<Miner> {
        let inputs = Inputs {
            own: None,
            params: &ConsensusParams::default(),
            head: BlockNumber(1000),
            head_seen_at: 0,
            block_ms: None,
            network: None,
            mechanism: None,
            has_clips: true,
            metagraph: &metagraph(registered),
            history: &AllowlistHistory::default(),
            miners: None,
            mesh: None,
            reports: &[],
            reporters: &BTreeSet::new(),
            verdicts,
            epochs,
            own_faults: OwnFaults::default(),
        };
        let network = Network { genesis: Digest::of(b"chain"), netuid: Netuid(99) };
        inputs.snapshot(network).miners
    }

    fn rank(number: u16) -> Rank {
        Rank { rank: 1, miner: text(number), passed: 5, rate: 0.5, block: None, share: None }
    }

    #[test]
    fn whoever_an_epoch_or_a_file_names_is_known_without_a_slot_or_a_commitment() {
        let epoch = Epoch {
            winner: Some(text(2)),
            ranks: vec![rank(2), rank(3)],
            ineligible: vec![(text(4), "evaluated on 1 of 2 tasks".to_owned())],
            ..Epoch::default()
        };
        // 6 has a slot and nothing else, 7 is no miner at all, 1 read the market itself.
        let verdicts = BTreeMap::from([file(7, [1, 2, 5, 6].into_iter())]);
        let shown = miners(&[1, 6, 7], &verdicts, vec![epoch]);
        let slots: BTreeMap<HotkeyText, Option<u16>> =
            shown.iter().map(|miner| (miner.hotkey.clone(), miner.uid)).collect();
        let expected = [(2, None), (3, None), (4, None), (5, None), (6, Some(6))];
        assert_eq!(slots, BTreeMap::from(expected.map(|(number, uid)| (text(number), uid))));
        assert_eq!(shown.len(), slots.len(), "each once");
        assert!(shown.iter().all(|miner| miner.validity == Shown::Unknown));
    }

    #[test]
    fn hotkeys_that_a_peer_makes_up_crowd_out_nobody_with_a_rank() {
        let epoch = Epoch { ranks: vec![rank(2)], ..Epoch::default() };
        let verdicts = BTreeMap::from([file(7, 1000..1900)]);
        let shown = miners(&[], &verdicts, vec![epoch]);
        assert_eq!(shown.len(), MAX_UNCOMMITTED);
        assert!(shown.iter().any(|miner| miner.hotkey == text(2)));
    }
}
