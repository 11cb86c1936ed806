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
