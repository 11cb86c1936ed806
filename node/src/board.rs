//! What validators and administrators post, in a database of its own: `board.sqlite` in the state
//! folder. Commands may write to it while the validator runs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leoma_web::{
    Blacklisted, Board, BoardError, PostedSample, Report, ReportedMiner, Sample, WantedSamples,
};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use crate::state::make_private;

/// How long a statement waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Samples that are kept of each validator, the newest: a window of 100 tasks over 256 miners.
const MAX_SAMPLES: u32 = 25_600;
/// Bytes of samples that are kept of each validator, the newest: honest ones have about a KiB.
const MAX_SAMPLE_BYTES: u32 = 32 << 20;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS blacklist (
        hotkey TEXT PRIMARY KEY, reason TEXT, added_by TEXT, created_at TEXT
    );
    CREATE TABLE IF NOT EXISTS samples (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        validator TEXT NOT NULL, task_id INTEGER NOT NULL, miner TEXT NOT NULL,
        at INTEGER NOT NULL, sample TEXT NOT NULL,
        UNIQUE (validator, task_id, miner)
    );
    CREATE TABLE IF NOT EXISTS reports (
        validator TEXT PRIMARY KEY, at INTEGER NOT NULL, miners TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS samples_by_validator ON samples (validator, id);
    CREATE INDEX IF NOT EXISTS samples_by_miner ON samples (miner, id);
    CREATE INDEX IF NOT EXISTS samples_by_task ON samples (task_id, id);
";

/// The board of this machine. Clones share one connection.
#[derive(Clone, Debug)]
pub struct StoredBoard(Arc<Mutex<Connection>>);

impl StoredBoard {
    /// Opens the board in a state folder, making both where they are new.
    ///
    /// # Errors
    /// [`BoardError`] when the folder or the database cannot be used.
    pub fn open(folder: &Path) -> Result<Self, BoardError> {
        let refuse = |error: std::io::Error| {
            BoardError(format!("state folder {}: {error}", folder.display()))
        };
        make_private(folder).map_err(refuse)?;
        Self::prepare(Connection::open(folder.join("board.sqlite")).map_err(failed)?)
    }

    fn prepare(connection: Connection) -> Result<Self, BoardError> {
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        connection.execute_batch("PRAGMA journal_mode = WAL;").map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs `work` on a thread that may wait for the disk.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BoardError> {
        let connection = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(|_| BoardError("the process is stopping".to_owned()))?.map_err(failed)
    }
}

fn failed(error: rusqlite::Error) -> BoardError {
    BoardError(error.to_string())
}

/// A number as SQLite keeps it.
fn bounded(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Every validator with rows in a table. Each step looks once into its index, however many rows
/// there are.
fn posters(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = format!("SELECT min(validator) FROM {table} WHERE validator > ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found: Vec<String> = Vec::new();
    loop {
        let last = found.last().map_or("", String::as_str);
        let next: Option<String> = statement.query_row(params![last], |row| row.get(0))?;
        match next {
            Some(next) => found.push(next),
            None => return Ok(found),
        }
    }
}

/// A column with JSON that this program wrote.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

fn to_json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

#[async_trait::async_trait]
impl Board for StoredBoard {
    async fn blacklist(&self) -> Result<Vec<Blacklisted>, BoardError> {
        self.on_disk(|connection| {
            let sql = "SELECT hotkey, reason, added_by, created_at FROM blacklist ORDER BY hotkey";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                Ok(Blacklisted {
                    hotkey: row.get(0)?,
                    reason: row.get(1)?,
                    added_by: row.get(2)?,
                    created_at: row.get(3)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn blacklist_add(&self, entry: Blacklisted) -> Result<(), BoardError> {
        self.on_disk(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO blacklist (hotkey, reason, added_by, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![entry.hotkey, entry.reason, entry.added_by, entry.created_at],
            )?;
            Ok(())
        })
        .await
    }

    async fn blacklist_remove(&self, hotkey: &str) -> Result<bool, BoardError> {
        let hotkey = hotkey.to_owned();
        self.on_disk(move |connection| {
            let sql = "DELETE FROM blacklist WHERE hotkey = ?1";
            Ok(connection.execute(sql, params![hotkey])? > 0)
        })
        .await
    }

    async fn add_samples(
        &self,
        validator: &str,
        at: i64,
        samples: Vec<Sample>,
    ) -> Result<(), BoardError> {
        let validator = validator.to_owned();
        self.on_disk(move |connection| {
            let transaction = connection.transaction()?;
            for sample in samples {
                let task_id = bounded(sample.task_id);
                transaction.execute(
                    "INSERT OR REPLACE INTO samples (validator, task_id, miner, at, sample) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![validator, task_id, sample.miner_hotkey, at, to_json(&sample)?],
                )?;
            }
            transaction.execute(
                "DELETE FROM samples WHERE validator = ?1 AND id <= (SELECT id FROM samples
                 WHERE validator = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                params![validator, MAX_SAMPLES],
            )?;
            transaction.execute(
                "DELETE FROM samples WHERE validator = ?1 AND id <= (SELECT max(id) FROM
                 (SELECT id, sum(octet_length(sample)) OVER (ORDER BY id DESC) AS bytes
                 FROM samples WHERE validator = ?1) WHERE bytes > ?2)",
                params![validator, MAX_SAMPLE_BYTES],
            )?;
            transaction.commit()
        })
        .await
    }

    async fn samples(&self, wanted: WantedSamples) -> Result<Vec<PostedSample>, BoardError> {
        self.on_disk(move |connection| {
            let mut sql = "SELECT id, validator, at, sample FROM samples".to_owned();
            let mut values: Vec<Value> = Vec::new();
            for (column, value) in [
                ("task_id", wanted.task_id.map(|task| Value::Integer(bounded(task)))),
                ("validator", wanted.validator.map(Value::Text)),
                ("miner", wanted.miner.map(Value::Text)),
            ] {
                let Some(value) = value else { continue };
                let word = if values.is_empty() { "WHERE" } else { "AND" };
                sql.push_str(&format!(" {word} {column} = ?"));
                values.push(value);
            }
            if !wanted.without.is_empty() {
                let word = if values.is_empty() { "WHERE" } else { "AND" };
                let pairs = vec!["(?, ?)"; wanted.without.len()].join(", ");
                sql.push_str(&format!(" {word} (task_id, validator) NOT IN (VALUES {pairs})"));
                for (task, validator) in wanted.without {
                    values.extend([Value::Integer(bounded(task)), Value::Text(validator)]);
                }
            }
            sql.push_str(" ORDER BY id DESC LIMIT ? OFFSET ?");
            values.extend([wanted.limit, wanted.skip].map(|n| Value::Integer(bounded(n as u64))));
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok(PostedSample {
                    id: row.get(0)?,
                    validator: row.get(1)?,
                    at: row.get(2)?,
                    sample: json(row, 3)?,
                })
            })?;
            rows.collect()
        })
        .await
    }

    async fn put_report(&self, report: Report) -> Result<(), BoardError> {
        self.on_disk(move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO reports (validator, at, miners) VALUES (?1, ?2, ?3)",
                params![report.validator, report.at, to_json(&report.miners)?],
            )?;
            Ok(())
        })
        .await
    }

    async fn reports(&self) -> Result<Vec<Report>, BoardError> {
        self.on_disk(|connection| {
            let sql = "SELECT validator, at, miners FROM reports ORDER BY validator";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let miners: Vec<ReportedMiner> = json(row, 2)?;
                Ok(Report { validator: row.get(0)?, at: row.get(1)?, miners })
            })?;
            rows.collect()
        })
        .await
    }

    async fn forget_others(&self, listed: Vec<String>) -> Result<(), BoardError> {
        self.on_disk(move |connection| {
            for table in ["samples", "reports"] {
                for validator in posters(connection, table)? {
                    if !listed.contains(&validator) {
                        let sql = format!("DELETE FROM {table} WHERE validator = ?1");
                        connection.execute(&sql, params![validator])?;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(task_id: u64, miner: &str) -> Sample {
        Sample {
            task_id,
            miner_hotkey: miner.into(),
            prompt: "a boat".into(),
            s3_bucket: "b".into(),
            s3_prefix: "7/".into(),
            passed: true,
            confidence: Some(80),
            reasoning: None,
            latency_ms: None,
            original_artifacts: None,
            generated_artifacts: None,
            presentation_order: None,
            evaluation_signature: None,
        }
    }

    #[tokio::test]
    async fn what_is_posted_is_there_after_a_restart_and_replaces_what_it_corrects() {
        let folder = tempfile::tempdir().unwrap();
        let board = StoredBoard::open(folder.path()).unwrap();
        let entry = |reason: &str| Blacklisted {
            hotkey: "5x".into(),
            reason: Some(reason.into()),
            added_by: None,
            created_at: None,
        };
        board.blacklist_add(entry("first")).await.unwrap();
        board.blacklist_add(entry("second")).await.unwrap();
        board.add_samples("v", 10, vec![sample(1, "m"), sample(2, "m")]).await.unwrap();
        board.add_samples("v", 20, vec![Sample { passed: false, ..sample(1, "m") }]).await.unwrap();
        let report = Report { validator: "v".into(), at: 7, miners: Vec::new() };
        board.put_report(report.clone()).await.unwrap();
        drop(board);

        let again = StoredBoard::open(folder.path()).unwrap();
        assert_eq!(again.blacklist().await.unwrap(), [entry("second")]);
        let wanted = WantedSamples { limit: 10, ..WantedSamples::default() };
        let samples = again.samples(wanted.clone()).await.unwrap();
        let kept: Vec<_> = samples.iter().map(|one| (one.sample.task_id, one.at)).collect();
        assert_eq!(kept, [(1, 20), (2, 10)]);
        assert!(!samples[0].sample.passed);
        let of = async |wanted| {
            let found = again.samples(wanted).await.unwrap();
            found.iter().map(|one| one.sample.task_id).collect::<Vec<_>>()
        };
        let second = WantedSamples {
            task_id: Some(2),
            validator: Some("v".into()),
            miner: Some("m".into()),
            ..wanted.clone()
        };
        assert_eq!(of(second.clone()).await, [2]);
        assert!(of(WantedSamples { miner: Some("n".into()), ..second }).await.is_empty());
        assert_eq!(of(WantedSamples { skip: 1, limit: 1, ..wanted.clone() }).await, [2]);
        // What is left out takes no place of a page.
        let without = vec![(1, "v".to_owned()), (2, "other".to_owned())];
        let page = WantedSamples { without, limit: 1, ..wanted };
        assert_eq!(of(page.clone()).await, [2]);
        assert_eq!(of(WantedSamples { validator: Some("v".into()), ..page }).await, [2]);
        assert_eq!(again.reports().await.unwrap(), [report]);
        assert!(again.blacklist_remove("5x").await.unwrap());
        assert!(!again.blacklist_remove("5x").await.unwrap());
    }

    #[tokio::test]
    async fn a_validators_oldest_samples_are_forgotten_first() {
        let board = StoredBoard::prepare(Connection::open_in_memory().unwrap()).unwrap();
        let first = (0..u64::from(MAX_SAMPLES)).map(|task| sample(task, "m")).collect();
        board.add_samples("v", 1, first).await.unwrap();
        board.add_samples("other", 1, vec![sample(0, "m")]).await.unwrap();
        board.add_samples("v", 2, vec![sample(9_999_999, "m")]).await.unwrap();
        let all = WantedSamples { limit: usize::MAX, ..WantedSamples::default() };
        let kept = board.samples(all).await.unwrap();
        assert_eq!(kept.len(), MAX_SAMPLES as usize + 1);
        let of_first = |one: &PostedSample| one.validator == "v" && one.sample.task_id == 0;
        assert!(!kept.iter().any(of_first));
    }

    #[tokio::test]
    async fn a_validators_samples_are_bounded_in_bytes_too() {
        let board = StoredBoard::prepare(Connection::open_in_memory().unwrap()).unwrap();
        board.add_samples("other", 1, vec![sample(0, "m")]).await.unwrap();
        let long = "x".repeat(100_000);
        let large = |task| Sample { reasoning: Some(long.clone()), ..sample(task, "m") };
        board.add_samples("v", 1, (0..400).map(large).collect()).await.unwrap();
        let of = async |validator: &str| {
            let validator = Some(validator.to_owned());
            let wanted = WantedSamples { validator, limit: 1000, ..WantedSamples::default() };
            let found = board.samples(wanted).await.unwrap();
            found.iter().map(|one| one.sample.task_id).collect::<Vec<_>>()
        };
        let kept = of("v").await;
        assert_eq!((kept[0], of("other").await), (399, vec![0]));
        let most = MAX_SAMPLE_BYTES as usize / 100_000;
        assert!((most - 5..=most).contains(&kept.len()), "{} are kept", kept.len());
    }

    #[tokio::test]
    async fn whoever_leaves_the_allowlist_is_forgotten() {
        let board = StoredBoard::prepare(Connection::open_in_memory().unwrap()).unwrap();
        for validator in ["a", "b", "c"] {
            board.add_samples(validator, 1, vec![sample(1, "m"), sample(2, "m")]).await.unwrap();
            let report = Report { validator: validator.into(), at: 7, miners: Vec::new() };
            board.put_report(report).await.unwrap();
        }
        board.forget_others(vec!["b".into(), "d".into()]).await.unwrap();
        let wanted = WantedSamples { limit: 10, ..WantedSamples::default() };
        let samples = board.samples(wanted).await.unwrap();
        assert_eq!(samples.len(), 2);
        assert!(samples.iter().all(|one| one.validator == "b"));
        let reports = board.reports().await.unwrap();
        assert!(reports.len() == 1 && reports[0].validator == "b");
    }
}
