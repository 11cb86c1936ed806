//! The schemas, each as what every version adds to the one before. What a release has written is
//! never changed here: the next version adds to it.

/// `state.sqlite`.
pub(super) const SCHEMAS: &[&str] = &[
    "
    CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), owner TEXT NOT NULL);
    CREATE TABLE signed (
        kind TEXT NOT NULL,
        netuid INTEGER NOT NULL,
        task_id INTEGER NOT NULL,
        subject BLOB NOT NULL,
        digest BLOB NOT NULL,
        UNIQUE (kind, netuid, task_id, subject)
    );
    CREATE TABLE files (
        task_id INTEGER NOT NULL,
        producer BLOB NOT NULL,
        digest BLOB NOT NULL,
        bytes BLOB NOT NULL,
        published INTEGER NOT NULL DEFAULT 1,
        UNIQUE (task_id, producer, digest)
    );
    CREATE TABLE certificates (task_id INTEGER NOT NULL, producer BLOB NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE (task_id, producer));
    CREATE TABLE evidence (task_id INTEGER NOT NULL, accused BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE (task_id, accused, bytes));
    CREATE TABLE epochs (epoch_block INTEGER PRIMARY KEY, state TEXT NOT NULL, winner BLOB, uid INTEGER, reason TEXT NOT NULL, outcome TEXT NOT NULL);
    CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    ",
    // Weights that are committed first and revealed later.
    "
    CREATE TABLE weight_commits (
        epoch_block INTEGER PRIMARY KEY,
        holder BLOB,
        uid INTEGER NOT NULL,
        version_key INTEGER NOT NULL,
        salt BLOB NOT NULL,
        content BLOB NOT NULL,
        reveal_round INTEGER NOT NULL,
        commit_epoch INTEGER NOT NULL,
        state TEXT NOT NULL
    );
    ",
    // A weight vector as JSON; NULL in rows of before, whose weight is all on `uid`.
    "
    ALTER TABLE weight_commits ADD COLUMN weights TEXT;
    ",
    // What was signed has moved to the guard's own file. Disputes are kept as evidence is. Drafts
    // make a task signable again after a crash, witnesses say what an epoch was told.
    "
    DROP TABLE signed;
    CREATE TABLE drafts (task_id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    CREATE TABLE disputes (task_id INTEGER NOT NULL, producer BLOB NOT NULL, disputer BLOB NOT NULL, bytes BLOB NOT NULL, UNIQUE (task_id, producer, disputer));
    CREATE TABLE witnesses (
        epoch_block INTEGER PRIMARY KEY,
        bytes BLOB NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    ",
];

/// The version of `state.sqlite` from which on what was signed is in `guard.sqlite`.
pub(super) const GUARD_MOVED_IN: u32 = 4;

/// `guard.sqlite`.
pub(super) const GUARD_SCHEMAS: &[&str] = &["
    CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), owner TEXT NOT NULL);
    CREATE TABLE signed (
        kind TEXT NOT NULL,
        netuid INTEGER NOT NULL,
        task_id INTEGER NOT NULL,
        subject BLOB NOT NULL,
        digest BLOB NOT NULL,
        UNIQUE (kind, netuid, task_id, subject)
    );
    CREATE TABLE sealed (first_task INTEGER NOT NULL, last_task INTEGER NOT NULL);
    "];
