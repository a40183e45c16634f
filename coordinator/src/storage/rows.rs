//! Rows of the ledger's tables, to and from SQLite.

use std::fmt::Display;

use engine::End;
use protocol::{Digest, Identity, LeaseId, Reason, Version};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Result, Row, params};
use serde::de::DeserializeOwned;

use super::checkpoint::Record;
use super::ledger::{LedgerRow, RowEnd, WorkerRow};
use super::text::{from_json, segments_of, segments_text};

const MERGED: &str = "merged";
const REJECTED: &str = "rejected";
const RELEASED: &str = "released";
const LOST: &str = "lost";

/// SQLite has signed integers only.
pub(super) fn int(number: u64) -> i64 {
    number.cast_signed()
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

fn odd(column: usize, problem: impl Display) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, problem.to_string().into())
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    from_json(&row.get::<_, String>(column)?).map_err(|error| odd(column, error))
}

fn digest(column: usize, text: &str) -> Result<Digest> {
    Digest::from_hex(text).ok_or_else(|| odd(column, "no digest"))
}

/// Writes leases with the number of their checkpoint.
pub(super) fn insert_leases(sql: &Connection, number: u64, rows: &[LedgerRow]) -> Result<()> {
    let mut insert = sql.prepare(
        "INSERT OR REPLACE INTO lease
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    for row in rows {
        let (mut reason, mut dropped, mut late) = (None, false, false);
        let mut merge: (Option<Version>, Option<u64>) = (None, None);
        let outcome = match row.end {
            RowEnd::Ended(End::Merged { version, staleness, late: was_late }) => {
                (merge, late) = ((Some(version), Some(staleness)), was_late);
                MERGED
            }
            RowEnd::Ended(End::Rejected { reason: why, dropped: given_up }) => {
                (reason, dropped) = (Some(why.name()), given_up);
                REJECTED
            }
            RowEnd::Ended(End::Released) => RELEASED,
            RowEnd::Lost => LOST,
        };
        insert.execute(params![
            int(number),
            row.lease.incarnation,
            int(row.lease.number),
            row.worker,
            int(row.unit),
            row.epoch,
            int(row.samples),
            segments_text(&row.segments),
            row.in_epoch,
            outcome,
            reason,
            dropped,
            merge.0.map(|version| version.incarnation),
            merge.0.map(|version| int(version.number)),
            merge.1.map(int),
            late,
        ])?;
    }
    Ok(())
}

/// Reads a lease: all columns but the first.
pub(super) fn lease(row: &Row<'_>) -> Result<LedgerRow> {
    let segments: String = row.get(6)?;
    let outcome: String = row.get(8)?;
    let end = match outcome.as_str() {
        MERGED => RowEnd::Ended(End::Merged {
            version: Version { incarnation: row.get(11)?, number: unsigned(row, 12)? },
            staleness: unsigned(row, 13)?,
            late: row.get(14)?,
        }),
        REJECTED => {
            let name: String = row.get(9)?;
            let reason = Reason::from_name(&name).ok_or_else(|| odd(9, "no reason"))?;
            RowEnd::Ended(End::Rejected { reason, dropped: row.get(10)? })
        }
        RELEASED => RowEnd::Ended(End::Released),
        LOST => RowEnd::Lost,
        _ => return Err(odd(8, "no outcome of a lease")),
    };
    Ok(LedgerRow {
        lease: LeaseId { incarnation: row.get(0)?, number: unsigned(row, 1)? },
        worker: row.get(2)?,
        unit: unsigned(row, 3)?,
        epoch: row.get(4)?,
        samples: unsigned(row, 5)?,
        segments: segments_of(&segments).ok_or_else(|| odd(6, "no segments"))?,
        in_epoch: row.get(7)?,
        end,
    })
}

/// Writes workers with the number of their checkpoint; `facts` are theirs as text.
pub(super) fn insert_workers(
    sql: &Connection,
    number: u64,
    workers: &[WorkerRow],
    facts: &[String],
) -> Result<()> {
    let mut insert =
        sql.prepare("INSERT OR REPLACE INTO worker VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for (worker, facts) in workers.iter().zip(facts) {
        let WorkerRow { number: own, identity, slot, name, device, .. } = worker;
        insert.execute(params![own, int(number), identity.0, slot, name, device, facts])?;
    }
    Ok(())
}

/// Reads a worker: number, identity, slot, name, device, facts.
pub(super) fn worker(row: &Row<'_>) -> Result<WorkerRow> {
    Ok(WorkerRow {
        number: row.get(0)?,
        identity: Identity(row.get(1)?),
        slot: row.get(2)?,
        name: row.get(3)?,
        device: row.get(4)?,
        facts: json(row, 5)?,
    })
}

/// Reads a checkpoint: all columns but the seal.
pub(super) fn record(row: &Row<'_>) -> Result<Record> {
    let best: Option<String> = row.get(6)?;
    let best_digest: Option<String> = row.get(11)?;
    Ok(Record {
        number: unsigned(row, 0)?,
        saved: row.get(1)?,
        engine: json(row, 2)?,
        version: Version { incarnation: row.get(3)?, number: unsigned(row, 4)? },
        metrics_bytes: unsigned(row, 5)?,
        best: best.map(|text| from_json(&text)).transpose().map_err(|error| odd(6, error))?,
        shell: json(row, 7)?,
        complete: row.get(8)?,
        shards: json(row, 9)?,
        digest: digest(10, &row.get::<_, String>(10)?)?,
        best_digest: best_digest.map(|text| digest(11, &text)).transpose()?,
    })
}

/// Forgets the checkpoints before `keep`, and rows that later ones of kept checkpoints replace. What
/// the checkpoints that are kept have written stays as it is.
pub(super) fn prune(sql: &Connection, keep: u64) -> Result<()> {
    let keep = int(keep);
    // What was under way at a checkpoint has a row of the next one as well.
    sql.execute(
        "DELETE FROM lease
         WHERE outcome = ?2 AND checkpoint IN (SELECT number FROM checkpoint WHERE number < ?1)
           AND EXISTS (SELECT 1 FROM lease AS newer
                       WHERE newer.checkpoint = ?1 AND newer.incarnation = lease.incarnation
                         AND newer.number = lease.number)",
        params![keep, LOST],
    )?;
    sql.execute(
        "DELETE FROM worker
         WHERE EXISTS (SELECT 1 FROM worker AS newer
                       WHERE newer.number = worker.number
                         AND newer.checkpoint > worker.checkpoint AND newer.checkpoint <= ?1)",
        [keep],
    )?;
    sql.execute("DELETE FROM checkpoint WHERE number < ?1", [keep])?;
    Ok(())
}
