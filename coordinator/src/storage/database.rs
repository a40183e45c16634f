//! The ledger in SQLite: one file, a table for each kind of thing, simple enough for other tools.
//!
//! Leases and workers are written with the number of their checkpoint and never changed: the newest
//! row counts, and a checkpoint that turns out to be damaged is forgotten by deleting its rows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Digest;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::StorageError;
use super::checkpoint::{Checkpoint, Record};
use super::ledger::{Incarnation, LedgerRow, WorkerRow};
use super::rows::{self, int};
use super::text::to_json;
use super::tokens::{self, TokenRow};

/// The file in the run folder.
pub(super) const LEDGER: &str = "run.db";

/// Version of the tables; a change of them raises it. Version 1 is brought up to date.
const SCHEMA: u32 = 2;

/// So long another program may keep the file locked.
const BUSY: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE incarnation (
    number INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    address TEXT NOT NULL,
    place TEXT
) STRICT;
CREATE TABLE checkpoint (
    number INTEGER PRIMARY KEY,
    saved TEXT NOT NULL,
    engine TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    metrics_bytes INTEGER NOT NULL,
    best TEXT,
    shell TEXT NOT NULL,
    complete INTEGER NOT NULL,
    shards TEXT NOT NULL,
    digest TEXT NOT NULL,
    best_digest TEXT,
    seal TEXT NOT NULL
) STRICT;
CREATE TABLE lease (
    checkpoint INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    segments TEXT NOT NULL,
    in_epoch INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    dropped INTEGER NOT NULL,
    version_incarnation INTEGER,
    version INTEGER,
    staleness INTEGER,
    late INTEGER NOT NULL,
    PRIMARY KEY (checkpoint, incarnation, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE worker (
    number INTEGER NOT NULL,
    checkpoint INTEGER NOT NULL,
    identity BLOB NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    device TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (number, checkpoint)
) STRICT, WITHOUT ROWID;
";

/// The columns of a checkpoint that its seal covers.
const SEALED: &str = "number, saved, engine, incarnation, version, metrics_bytes, best, shell, \
                      complete, shards, digest, best_digest";

/// An open ledger.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Makes the ledger of a new run.
    pub(super) fn create(folder: &Path) -> Result<Self, StorageError> {
        let mut database = Self::connect(folder, OpenFlags::SQLITE_OPEN_CREATE)?;
        database.change(|transaction| {
            transaction.execute_batch(tokens::TABLE)?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", SCHEMA)
        })?;
        Ok(database)
    }

    /// Opens the ledger of a run that goes on: looks whether the file is whole, and brings it up to
    /// date.
    pub(super) fn open(folder: &Path) -> Result<Self, StorageError> {
        let mut database = Self::open_to_look(folder)?;
        let check = "PRAGMA quick_check(1)";
        let found: String = database.ask(|sql| sql.query_row(check, [], |row| row.get(0)))?;
        if found != "ok" {
            return Err(damaged(&database.path, &found));
        }
        if database.is_old()? {
            database.change(|transaction| {
                transaction.execute_batch(tokens::TABLE)?;
                transaction.execute_batch(tokens::FROM_1)?;
                transaction.pragma_update(None, "user_version", SCHEMA)
            })?;
        }
        Ok(database)
    }

    /// Opens the ledger of a run, even of one that is going on.
    pub(super) fn open_to_look(folder: &Path) -> Result<Self, StorageError> {
        if !folder.join(LEDGER).is_file() {
            let problem = format!("is no run that can be resumed: there is no {LEDGER} in it");
            return Err(StorageError::run(folder, problem));
        }
        let database = Self::connect(folder, OpenFlags::empty())?;
        match database.schema()? {
            1..=SCHEMA => Ok(database),
            0 => Err(damaged(&database.path, "it is empty")),
            newer => {
                let problem = format!(
                    "was written by another version of Herd (schema {newer}; this one knows \
                     {SCHEMA}); use the version that wrote it"
                );
                Err(StorageError::run(&database.path, problem))
            }
        }
    }

    fn schema(&self) -> Result<u32, StorageError> {
        self.ask(|sql| sql.pragma_query_value(None, "user_version", |row| row.get(0)))
    }

    /// Whether an earlier version of Herd wrote it.
    pub(super) fn is_old(&self) -> Result<bool, StorageError> {
        Ok(self.schema()? < SCHEMA)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn connect(folder: &Path, more: OpenFlags) -> Result<Self, StorageError> {
        let path = folder.join(LEDGER);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
        let connected = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            // A commit is on the disk when it returns.
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        });
        match connected {
            Ok(connection) => Ok(Self { connection, path }),
            Err(error) => Err(failed(&path, error)),
        }
    }

    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        question(&self.connection).map_err(|error| failed(&self.path, error))
    }

    /// One transaction; when it fails nothing is changed.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StorageError> {
        let changed = (|| {
            let transaction = self.connection.transaction()?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })();
        let result = changed.map_err(|error| failed(&self.path, error))?;
        self.empty_log();
        Ok(result)
    }

    /// Moves all into the one file, so that a copy of it alone is whole. With readers about it can
    /// wait for the next time.
    fn empty_log(&self) {
        let moved = (|| {
            self.connection.busy_timeout(Duration::ZERO)?;
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            self.connection.busy_timeout(BUSY)
        })();
        if let Err(error) = moved {
            tracing::debug!("{}: the log stays: {error}", self.path.display());
        }
    }

    /// Writes a new start with its tokens, and says its number and theirs.
    pub(super) fn begin(
        &mut self,
        address: SocketAddr,
        tokens: &[TokenRow],
    ) -> Result<(u32, Vec<u32>), StorageError> {
        let started = jiff::Timestamp::now().to_string();
        self.change(|sql| {
            let number = sql.query_row(
                "INSERT INTO incarnation (number, started, address)
                 SELECT coalesce(max(number), 0) + 1, ?1, ?2 FROM incarnation
                 RETURNING number",
                params![started, address.to_string()],
                |row| row.get(0),
            )?;
            Ok((number, tokens::begin(sql, number, tokens)?))
        })
    }

    /// Writes how the last start is reached.
    pub(super) fn reached_at(&mut self, place: &str) -> Result<(), StorageError> {
        let update = "UPDATE incarnation SET place = ?1
                      WHERE number = (SELECT max(number) FROM incarnation)";
        self.change(|sql| sql.execute(update, [place]).map(drop))
    }

    /// All starts, oldest first.
    pub(super) fn incarnations(&self) -> Result<Vec<Incarnation>, StorageError> {
        self.list("SELECT number, started, address FROM incarnation ORDER BY number", |row| {
            Ok(Incarnation { number: row.get(0)?, started: row.get(1)?, address: row.get(2)? })
        })
    }

    /// The numbers of the checkpoints that are kept, newest first.
    pub(super) fn checkpoints(&self) -> Result<Vec<u64>, StorageError> {
        self.list("SELECT number FROM checkpoint ORDER BY number DESC", |row| {
            row.get(0).map(i64::cast_unsigned)
        })
    }

    pub(super) fn list<T>(
        &self,
        question: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        self.ask(|sql| sql.prepare(question)?.query_map([], read)?.collect())
    }

    /// Writes a checkpoint as number `number`, and forgets those before `keep`.
    pub(super) fn commit(
        &mut self,
        number: u64,
        keep: u64,
        checkpoint: &Checkpoint,
        digest: Digest,
        best_digest: Option<Digest>,
    ) -> Result<(), StorageError> {
        let json = |error: serde_json::Error| StorageError::run(&self.path, error.to_string());
        let engine = to_json(&checkpoint.engine).map_err(json)?;
        let best = checkpoint.best.as_ref().map(to_json).transpose().map_err(json)?;
        let shell = to_json(&checkpoint.shell).map_err(json)?;
        let shards = to_json(&checkpoint.shards).map_err(json)?;
        let facts: Result<Vec<String>, _> =
            checkpoint.workers.iter().map(|worker| to_json(&worker.facts)).collect();
        let facts = facts.map_err(json)?;
        self.change(|sql| {
            sql.execute(
                &format!(
                    "INSERT INTO checkpoint ({SEALED}, seal)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, '')"
                ),
                params![
                    int(number),
                    jiff::Timestamp::now().to_string(),
                    engine,
                    checkpoint.version.incarnation,
                    int(checkpoint.version.number),
                    int(checkpoint.metrics_bytes),
                    best,
                    shell,
                    checkpoint.complete,
                    shards,
                    digest.to_string(),
                    best_digest.map(|digest| digest.to_string()),
                ],
            )?;
            rows::insert_leases(sql, number, &checkpoint.rows)?;
            rows::insert_workers(sql, number, &checkpoint.workers, &facts)?;
            rows::prune(sql, keep)?;
            let seal = seal(sql, number)?;
            sql.execute(
                "UPDATE checkpoint SET seal = ?2 WHERE number = ?1",
                params![int(number), seal],
            )?;
            Ok(())
        })
    }

    /// What was stored of a checkpoint, if it is what was stored.
    pub(super) fn record(&self, number: u64) -> Result<Record, StorageError> {
        let told: String = self.ask(|sql| {
            sql.query_row("SELECT seal FROM checkpoint WHERE number = ?1", [int(number)], |row| {
                row.get(0)
            })
        })?;
        if told != self.ask(|sql| seal(sql, number))? {
            let problem = format!("what it holds of checkpoint {number} is damaged");
            return Err(StorageError::damaged(&self.path, problem));
        }
        let question = format!("SELECT {SEALED} FROM checkpoint WHERE number = ?1");
        self.ask(|sql| sql.query_row(&question, [int(number)], rows::record))
    }

    /// The newest checkpoint, as far as it can be read.
    pub(super) fn newest(&self) -> Result<Option<Record>, StorageError> {
        let question = format!("SELECT {SEALED} FROM checkpoint ORDER BY number DESC LIMIT 1");
        self.ask(|sql| sql.query_row(&question, [], rows::record).optional())
    }

    /// The newest row of each worker up to a checkpoint, by number.
    pub(super) fn workers(&self, until: u64) -> Result<Vec<WorkerRow>, StorageError> {
        // SQLite takes the other columns from the row that has the maximum.
        let question = format!(
            "SELECT number, identity, slot, name, device, facts, max(checkpoint)
             FROM worker WHERE checkpoint <= {} GROUP BY number ORDER BY number",
            int(until)
        );
        self.list(&question, rows::worker)
    }

    /// The newest row of each lease, by epoch and age.
    pub(super) fn each_lease(&self, mut each: impl FnMut(LedgerRow)) -> Result<(), StorageError> {
        let question = "SELECT incarnation, number, worker, unit, epoch, samples, segments, in_epoch,
                               outcome, reason, dropped, version_incarnation, version, staleness, late
                        FROM lease ORDER BY epoch, incarnation, number, checkpoint";
        self.ask(|sql| {
            let mut statement = sql.prepare(question)?;
            let mut found = statement.query_map([], rows::lease)?;
            let mut last: Option<LedgerRow> = None;
            found.try_for_each(|row| {
                let row = row?;
                if let Some(before) =
                    last.replace(row.clone()).filter(|last| last.lease != row.lease)
                {
                    each(before);
                }
                Ok::<_, rusqlite::Error>(())
            })?;
            last.into_iter().for_each(each);
            Ok(())
        })
    }

    /// Forgets all checkpoints after one.
    pub(super) fn forget_after(&mut self, number: u64) -> Result<(), StorageError> {
        self.change(|sql| {
            for (table, column) in
                [("lease", "checkpoint"), ("worker", "checkpoint"), ("checkpoint", "number")]
            {
                sql.execute(&format!("DELETE FROM {table} WHERE {column} > ?1"), [int(number)])?;
            }
            Ok(())
        })
    }

    /// All that follows sees the ledger as it is now.
    pub(super) fn hold_still(&self) -> Result<(), StorageError> {
        self.ask(|sql| sql.execute_batch("BEGIN"))
    }
}

/// A digest of all that a checkpoint has written.
fn seal(sql: &Connection, number: u64) -> rusqlite::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for question in [
        &format!("SELECT {SEALED} FROM checkpoint WHERE number = ?1"),
        "SELECT * FROM lease WHERE checkpoint = ?1 ORDER BY incarnation, number",
        "SELECT * FROM worker WHERE checkpoint = ?1 ORDER BY number",
    ] {
        let mut statement = sql.prepare(question)?;
        let columns = statement.column_count();
        let mut rows = statement.query([int(number)])?;
        while let Some(row) = rows.next()? {
            for column in 0..columns {
                let (kind, integer, bytes): (u8, i64, &[u8]) = match row.get_ref(column)? {
                    ValueRef::Null => (0, 0, &[]),
                    ValueRef::Integer(integer) => (1, integer, &[]),
                    ValueRef::Real(real) => (2, real.to_bits().cast_signed(), &[]),
                    ValueRef::Text(text) => (3, text.len() as i64, text),
                    ValueRef::Blob(bytes) => (4, bytes.len() as i64, bytes),
                };
                hasher.update(&[kind]).update(&integer.to_le_bytes()).update(bytes);
            }
        }
        hasher.update(&[u8::MAX]);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn damaged(path: &Path, found: &str) -> StorageError {
    let problem = format!(
        "is damaged ({found}); put back a copy of the run folder, or start a new run from the newest \
         file in its folder `checkpoints` with --init"
    );
    StorageError::damaged(path, problem)
}

/// An error of SQLite in words that tell what to do.
fn failed(path: &Path, error: rusqlite::Error) -> StorageError {
    let Some(code) = error.sqlite_error_code() else {
        // It answered, and with something that Herd never writes.
        return damaged(path, &error.to_string());
    };
    match code {
        ErrorCode::DiskFull => StorageError::Full { path: path.to_owned() },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(path, &error.to_string()),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StorageError::run(path, "another program keeps it locked; close that program")
        }
        ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            StorageError::write(path, std::io::Error::other(error))
        }
        _ => StorageError::Read { path: path.to_owned(), error: std::io::Error::other(error) },
    }
}
