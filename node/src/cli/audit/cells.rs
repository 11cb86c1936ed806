//! What the forecasts of an epoch's files were ranked against, for a record that ranks forecasts.

use leoma_protocol::Nano;
use leoma_rotation::{AllowlistHistory, PolicyRecord, TaskObservations, truths};
use serde_json::{Value, json};

use crate::mechanism::oracle::Rules;

/// The truth of each moment, and of each file of the window, oldest first: from which moment on it
/// forecasts, whether it was signed in time, and how many of its moments have a truth. `None` for
/// another record.
pub(super) fn cells(
    record: &PolicyRecord,
    history: &AllowlistHistory,
    window: &[&TaskObservations],
) -> Option<Value> {
    let rules = Rules::of(record).ok()?;
    let truth = truths(record, window).remove(&rules.pool)?;
    let moment = "t0".parse().ok()?;
    let row = |file: &&TaskObservations| {
        let id = file.id;
        let forecasts = file.entries().iter().filter_map(|entry| entry.of_pool(&rules.pool));
        let mut begins: Vec<u32> = forecasts.map(|forecast| forecast.count(&moment)).collect();
        begins.sort_unstable();
        begins.dedup();
        let list = history.of_task(id.task_id).map(|entry| &entry.allowlist);
        let start = list.and_then(|list| list.start_of(id.task_id)).unwrap_or_default();
        let is_known = |step: &u64| {
            let begin = begins.first().copied().map(u64::from);
            begin.is_some_and(|begin| truth.contains_key(&(begin + step * u64::from(rules.step_s))))
        };
        let known = (1..=u64::from(rules.cells)).filter(is_known).count();
        json!({
            "task_id": id.task_id, "producer": id.producer, "begins": begins,
            "in_time": file.signed_at <= rules.count_until(start),
            "cells": if is_known(&0) && begins.len() == 1 { known } else { 0 },
        })
    };
    let prices = truth.iter().map(
        |(moment, price): (&u64, &Nano)| json!({ "moment": moment, "price": price.to_string() }),
    );
    Some(json!({
        "truth": prices.collect::<Vec<_>>(),
        "files": window.iter().map(row).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use leoma_protocol::verdict::Observation;
    use leoma_protocol::{BlockNumber, Digest, FileId, Hotkey, TaskId};
    use leoma_rotation::{Allowlist, MinerObservations};

    use super::*;

    fn hotkey(seed: u8) -> Hotkey {
        Hotkey::from_bytes([seed; 32])
    }

    /// A file of one forecast from `begin` on, and a reading of four moments from 3000 on.
    fn file(task: u64, begin: u32, signed_at: u64) -> TaskObservations {
        let observation = |pool: &str, values: Vec<Option<Nano>>, begin| {
            let counts = vec![("t0".parse().unwrap(), begin)];
            vec![Observation { pool: pool.parse().unwrap(), values, counts }]
        };
        let entry = |miner, observations| MinerObservations { miner, passed: true, observations };
        let entries = vec![
            entry(hotkey(9), observation("forecast", vec![Some(Nano(1)); 6], begin)),
            entry(hotkey(1), observation("close", vec![Some(Nano(7_500_000_000)); 4], 3000)),
        ];
        let id = FileId { task_id: TaskId(task), producer: hotkey(1) };
        let start = BlockNumber(100 * task);
        TaskObservations::new(id, Digest::of(b"f"), start, BlockNumber(signed_at), entries)
    }

    #[test]
    fn each_file_says_how_many_of_its_moments_have_a_truth() {
        let record = PolicyRecord::parse(leoma_rotation::record::ORACLE).unwrap();
        let list = Allowlist::new(100, [hotkey(1)]).unwrap();
        let history = AllowlistHistory::since_genesis(list);
        let files = [file(7, 3300, 725), file(8, 3300, 826), file(9, 2700, 901)];
        let window: Vec<&TaskObservations> = files.iter().collect();
        let found = cells(&record, &history, &window).unwrap();
        assert_eq!(found["truth"].as_array().unwrap().len(), 4);
        assert_eq!(found["truth"][3], json!({ "moment": 3900, "price": "7.500000000" }));
        let rows: Vec<_> = found["files"].as_array().unwrap().iter().collect();
        let of = |row: &Value| (row["in_time"].as_bool().unwrap(), row["cells"].as_u64().unwrap());
        // The last one begins before any truth.
        assert_eq!([of(rows[0]), of(rows[1]), of(rows[2])], [(true, 2), (false, 2), (true, 0)]);
        assert_eq!(rows[0]["begins"], json!([3300]));
        let motion = PolicyRecord::parse(leoma_rotation::record::MOTION).unwrap();
        assert_eq!(cells(&motion, &history, &window), None);
    }
}
