//! When a stop costs nothing: `leoma exit --when-safe` waits for it.

use leoma_protocol::{BlockNumber, FileId};
use leoma_rotation::{AllowlistHistory, due_epoch};

use super::open::Opened;
use crate::state::EpochState;

/// Blocks before our turn in which a stop would make us miss its start: a restart takes about two
/// minutes until it signs.
const BEFORE_TURN: u64 = 12;

/// What a stop at `head` would interrupt; `None` if nothing.
pub(super) fn obstacle_to_stop(
    opened: &Opened,
    history: &AllowlistHistory,
    head: BlockNumber,
    sets_weights: bool,
) -> Option<String> {
    if opened.scorer.is_some()
        && let Some(obstacle) = turn_obstacle(opened, history, head)
    {
        return Some(obstacle);
    }
    match opened.state.unpublished_files() {
        Ok(files) if files.is_empty() => {}
        Ok(files) => return Some(format!("{} signed files are not published yet", files.len())),
        Err(error) => return Some(format!("the state cannot be read: {error}")),
    }
    if !sets_weights {
        return None;
    }
    let epochs = opened.state.epochs(8).unwrap_or_default();
    let finished = epochs.iter().find(|epoch| epoch.state != EpochState::Decided);
    let due = due_epoch(&opened.consensus, head, finished.map(|epoch| epoch.epoch_block))?;
    Some(format!("the weights of epoch {due} are not set yet"))
}

fn turn_obstacle(opened: &Opened, history: &AllowlistHistory, head: BlockNumber) -> Option<String> {
    let ours = |block: BlockNumber| {
        let turn = history.schedule_at(block, opened.consensus.at(block))?.turn(block, false)?;
        let id = FileId { task_id: turn.task_id, producer: opened.hotkey };
        (turn.producer == opened.hotkey && !opened.library.holds(id)).then_some(turn.task_id)
    };
    if let Some(task) = ours(head) {
        return Some(format!("it is our turn to sample task {task}"));
    }
    let soon = BlockNumber(head.0 + BEFORE_TURN);
    ours(soon)
        .map(|task| format!("our turn to sample task {task} begins within {BEFORE_TURN} blocks"))
}
