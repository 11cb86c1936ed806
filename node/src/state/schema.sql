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
