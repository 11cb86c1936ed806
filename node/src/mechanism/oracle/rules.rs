//! What all validators of the mechanism share: the one pool of its record that ranks forecasts.

use leoma_protocol::verdict::Name;
use leoma_protocol::{BlockNumber, Nano};
use leoma_rotation::PolicyRecord;
use leoma_rotation::record::Fold;

/// Most moments of a reading: an observation has no more values.
const MOMENTS: u32 = leoma_protocol::verdict::MAX_VALUES as u32;
/// Share of the blocks before a file's deadline that is kept for scoring, for signing, and for peers
/// to fetch the file.
const RESERVE_SHARE: u64 = 8;
/// Seconds of a block, except on a chain of one's own.
const BLOCK_S: u64 = 12;

/// The rules of a record's forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The pool of forecasts.
    pub(crate) pool: Name,
    /// The pool of the producers' own readings.
    pub(crate) truth: Name,
    /// Seconds from one moment to the next.
    pub(crate) step_s: u32,
    /// Forecasts of each miner.
    pub(crate) cells: u8,
    /// A file's forecasts count if it is signed at most this many blocks after its task's start. It
    /// must have reached its peers by then, too.
    pub(crate) deadline_blocks: u64,
}

impl Rules {
    /// The rules of a record.
    ///
    /// # Errors
    /// Why there are none: a record of this mechanism has one pool, of ranked forecasts.
    pub(crate) fn of(record: &PolicyRecord) -> Result<Self, &'static str> {
        let [pool] = &record.pools[..] else {
            return Err("a record of `oracle` has one pool");
        };
        let Fold::RankCells { truth, step_s, deadline_blocks, cells, .. } = &pool.fold else {
            return Err("the pool of `oracle` has the fold rank_cells");
        };
        let (pool, truth, cells) = (pool.name, *truth, *cells);
        Ok(Self { pool, truth, step_s: *step_s, cells, deadline_blocks: *deadline_blocks })
    }

    /// The moment at which the forecasts of a task begin, by the chain's clock at its first block
    /// in milliseconds since 1970: the next whole step. `None` from the year 2106 on.
    pub(crate) fn begin(&self, start_ms: u64) -> Option<u32> {
        let step_ms = u64::from(self.step_s) * 1000;
        let begin = start_ms.div_ceil(step_ms).checked_mul(u64::from(self.step_s))?;
        u32::try_from(begin).ok().filter(|begin| *begin > 0)
    }

    /// The first and the last moment of a task's reading: as many as an observation holds, up to
    /// the newest whole step at its first block. `None` where the chain's clock is too early or too
    /// late.
    pub(crate) fn read(&self, start_ms: u64) -> Option<[u32; 2]> {
        let last = start_ms / 1000 / u64::from(self.step_s) * u64::from(self.step_s);
        let last = u32::try_from(last).ok()?;
        let first = last.checked_sub(self.step_s.checked_mul(MOMENTS - 1)?)?;
        (first > 0).then_some([first, last])
    }

    /// Whether a file's deadline is over before the first price that it forecasts is known: one
    /// step after the task's start at the earliest.
    pub(crate) fn end_before_the_first_price(&self) -> bool {
        self.deadline_blocks.saturating_mul(BLOCK_S) <= u64::from(self.step_s)
    }

    /// The last block at which a task's file may be signed for its forecasts to count.
    pub(crate) fn count_until(&self, start: BlockNumber) -> BlockNumber {
        BlockNumber(start.0.saturating_add(self.deadline_blocks))
    }

    /// The last block at which a file that was signed at `signed_at` may reach a peer for the peer
    /// to attest to it. The block in an envelope is its producer's own word: who signs later can
    /// still write an early one, and by then may know the prices. `None` for a file whose forecasts
    /// do not count anyway.
    pub(crate) fn attest_until(
        &self,
        signed_at: BlockNumber,
        start: BlockNumber,
    ) -> Option<BlockNumber> {
        let last = self.count_until(start);
        (signed_at <= last).then_some(last)
    }

    /// The last block at which we sign: peers need time to fetch the file.
    pub(crate) fn sign_until(&self, start: BlockNumber) -> BlockNumber {
        self.before_the_deadline(start, self.reserve() / 2)
    }

    /// The last block at which a task's miners may be asked.
    pub(crate) fn ask_until(&self, start: BlockNumber) -> BlockNumber {
        self.before_the_deadline(start, self.reserve())
    }

    const fn reserve(&self) -> u64 {
        self.deadline_blocks / RESERVE_SHARE
    }

    /// At least one block before the deadline, where there is one.
    fn before_the_deadline(&self, start: BlockNumber, blocks: u64) -> BlockNumber {
        let blocks = blocks.max(1).min(self.deadline_blocks);
        BlockNumber(self.count_until(start).0.saturating_sub(blocks))
    }

    /// The values of a reading: the closing price of each moment from `first` to `last`, null
    /// where there is none. No more than an observation holds, whatever moments a stranger's
    /// `metadata.json` names.
    pub(crate) fn values(
        &self,
        closes: &leoma_protocol::market::Closes,
        [first, last]: [u32; 2],
    ) -> Vec<Option<Nano>> {
        let moments = (first..=last).step_by(self.step_s as usize).take(MOMENTS as usize);
        moments.map(|moment| closes.get(&u64::from(moment)).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORACLE: &str = include_str!("../../../../rotation/policies/oracle.toml");

    fn rules() -> Rules {
        Rules::of(&PolicyRecord::parse(ORACLE).unwrap()).unwrap()
    }

    #[test]
    fn the_built_in_record_has_six_forecasts_five_minutes_apart() {
        let rules = rules();
        assert_eq!((rules.pool.as_str(), rules.truth.as_str()), ("forecast", "close"));
        assert_eq!((rules.step_s, rules.cells, rules.deadline_blocks), (300, 6, 25));
        let start = BlockNumber(700);
        assert_eq!(rules.count_until(start), BlockNumber(725));
        assert_eq!(rules.sign_until(start), BlockNumber(724));
        assert_eq!(rules.ask_until(start), BlockNumber(722));
        assert!(rules.end_before_the_first_price(), "300 s are 25 blocks");
        let late = Rules { deadline_blocks: 26, ..rules };
        assert!(!late.end_before_the_first_price());
    }

    #[test]
    fn a_file_must_have_arrived_by_the_block_until_which_its_forecasts_count() {
        let (rules, start) = (rules(), BlockNumber(700));
        let until = |signed_at| rules.attest_until(BlockNumber(signed_at), start);
        for signed_at in [700, 720, 725] {
            assert_eq!(until(signed_at), Some(BlockNumber(725)));
        }
        assert_eq!(until(726), None, "it ranks nobody");
        assert_eq!(rules.attest_until(start, BlockNumber(u64::MAX)), Some(BlockNumber(u64::MAX)));
        for deadline_blocks in [0, 1, 7, 9, 49, u64::MAX] {
            let rules = Rules { deadline_blocks, ..rules };
            let (ask, sign) = (rules.ask_until(start), rules.sign_until(start));
            assert!(start <= ask && ask <= sign && sign <= rules.count_until(start));
            assert!(deadline_blocks == 0 || sign < rules.count_until(start), "{deadline_blocks}");
        }
    }

    #[test]
    fn a_record_without_ranked_forecasts_is_none_of_this_mechanism() {
        let with = |from: &str, to: &str| {
            Rules::of(&PolicyRecord::parse(&ORACLE.replace(from, to)).unwrap())
        };
        let second = "[[pool]]\nname = \"second\"\nshare = \"0/1\"\nfold = \"pass_rate\"\nweights = \"proportional\"\n\n[[pool]]\nname = \"forecast\"";
        assert!(with("[[pool]]\nname = \"forecast\"", second).unwrap_err().contains("one pool"));
        let motion = include_str!("../../../../rotation/policies/motion.toml");
        let other = Rules::of(&PolicyRecord::parse(motion).unwrap());
        assert!(other.unwrap_err().contains("rank_cells"));
    }

    #[test]
    fn forecasts_begin_at_the_next_step_of_the_chains_clock_and_readings_end_before() {
        let rules = rules();
        // 2025-01-10, 14:35:00 UTC, a whole step.
        let step_ms = 1_736_519_700_000;
        assert_eq!(rules.begin(step_ms), Some(1_736_519_700));
        assert_eq!(rules.begin(step_ms + 1), Some(1_736_520_000));
        assert_eq!(rules.begin(step_ms + 299_999), Some(1_736_520_000));
        let [first, last] = rules.read(step_ms + 299_999).unwrap();
        assert_eq!((last, last - first), (1_736_519_700, 63 * 300));
        assert_eq!(rules.read(step_ms - 1).unwrap()[1], 1_736_519_400);
        // No clock overflows anything.
        assert_eq!((rules.begin(0), rules.read(0)), (None, None));
        assert_eq!(rules.read(63 * 300_000), None, "moment zero cannot be named");
        assert_eq!((rules.begin(u64::MAX), rules.read(u64::MAX)), (None, None));
        let slow = Rules { step_s: u32::MAX, ..rules };
        assert_eq!(slow.read(step_ms), None);
        assert_eq!(slow.begin(step_ms), Some(u32::MAX));
    }

    #[test]
    fn a_reading_names_each_moment_and_leaves_open_what_the_feed_does_not_know() {
        let closes = [(600, Nano(7)), (1200, Nano(8)), (1250, Nano(9))].into();
        let values = rules().values(&closes, [300, 1200]);
        assert_eq!(values, [None, Some(Nano(7)), None, Some(Nano(8))]);
        let whole = rules().values(&closes, rules().read(1_736_519_700_000).unwrap());
        assert_eq!(whole.len(), 64);
        assert_eq!(rules().values(&closes, [1, u32::MAX]).len(), 64, "a hostile reading");
    }
}
