//! Tokens in the ledger: hashes, never what admits.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};

use super::StorageError;
use super::database::Database;
use crate::tokens::{Denied, Role, Secret};

/// Each start makes tokens, and old ones go on admitting: those of the first start, whose links are
/// the ones that were given out, and of so many last ones. A coordinator that is started again and
/// again does not fill its ledger.
const STARTS_KEPT: u32 = 100;

/// Most tokens made with `herd token` that admit at a time: each request is compared with all.
const MADE_MAX: usize = 1000;

/// Part of the tables of schema 2.
pub(super) const TABLE: &str = "
CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    role TEXT NOT NULL,
    hash BLOB NOT NULL,
    made TEXT NOT NULL,
    expires TEXT,
    revoked TEXT,
    note TEXT NOT NULL,
    incarnation INTEGER
) STRICT;
";

/// Schema 1 had one token for each start.
pub(super) const FROM_1: &str = "
INSERT INTO token (role, hash, made, note, incarnation)
    SELECT 'worker', token, started, '', number FROM incarnation ORDER BY number;
ALTER TABLE incarnation DROP COLUMN token;
ALTER TABLE incarnation ADD COLUMN place TEXT;
";

const COLUMNS: &str = "id, role, hash, made, expires, revoked, note, incarnation";

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number in the run, from 1; 0 for one that is not stored.
    pub id: u32,
    /// What it allows.
    pub role: Role,
    /// Of the token itself.
    pub hash: blake3::Hash,
    /// When it was made.
    pub made: Timestamp,
    /// From then on it does not admit.
    pub expires: Option<Timestamp>,
    /// Since then it does not admit.
    pub revoked: Option<Timestamp>,
    /// For whom it is.
    pub note: String,
    /// The start of the coordinator that made it; none for one that was made by hand.
    pub incarnation: Option<u32>,
}

impl TokenRow {
    /// A token that is made now and has no end.
    #[must_use]
    pub fn new(secret: &Secret, role: Role) -> Self {
        Self {
            id: 0,
            role,
            hash: secret.hash(),
            made: Timestamp::now(),
            expires: None,
            revoked: None,
            note: String::new(),
            incarnation: None,
        }
    }

    /// For how long it still admits, if that is known.
    ///
    /// # Errors
    /// When it does not admit any more.
    pub fn left(&self, now: Timestamp) -> Result<Option<Duration>, Denied> {
        if self.revoked.is_some() {
            return Err(Denied::Revoked);
        }
        let Some(expires) = self.expires else { return Ok(None) };
        match Duration::try_from(expires.duration_since(now)) {
            Ok(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(Denied::Expired),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let role: String = row.get(1)?;
        Ok(Self {
            id: row.get(0)?,
            role: Role::from_name(&role).ok_or_else(|| odd(1, "no role of a token"))?,
            hash: blake3::Hash::from_bytes(row.get(2)?),
            made: time(3, &row.get::<_, String>(3)?)?,
            expires: row.get::<_, Option<String>>(4)?.map(|text| time(4, &text)).transpose()?,
            revoked: row.get::<_, Option<String>>(5)?.map(|text| time(5, &text)).transpose()?,
            note: row.get(6)?,
            incarnation: row.get(7)?,
        })
    }
}

fn time(column: usize, text: &str) -> rusqlite::Result<Timestamp> {
    text.parse().map_err(|_| odd(column, "no time"))
}

fn odd(column: usize, problem: &str) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, problem.into())
}

/// Writes a new token and says its number.
fn insert(sql: &Connection, token: &TokenRow, incarnation: Option<u32>) -> rusqlite::Result<u32> {
    sql.query_row(
        "INSERT INTO token (role, hash, made, expires, note, incarnation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
        params![
            token.role.name(),
            token.hash.as_bytes(),
            token.made.to_string(),
            token.expires.map(|time| time.to_string()),
            token.note,
            incarnation,
        ],
        |row| row.get(0),
    )
}

/// Writes the tokens of a start and says their numbers; those of starts long ago are forgotten.
pub(super) fn begin(
    sql: &Connection,
    incarnation: u32,
    tokens: &[TokenRow],
) -> rusqlite::Result<Vec<u32>> {
    let first = incarnation.saturating_sub(STARTS_KEPT);
    sql.execute("DELETE FROM token WHERE incarnation > 1 AND incarnation <= ?1", [first])?;
    tokens.iter().map(|token| insert(sql, token, Some(incarnation))).collect()
}

impl Database {
    /// All tokens, by number.
    pub(super) fn tokens(&self) -> Result<Vec<TokenRow>, StorageError> {
        self.list(&format!("SELECT {COLUMNS} FROM token ORDER BY id"), TokenRow::read)
    }
}

/// The tokens of a run, whether it is going on or not.
#[derive(Debug)]
pub struct TokenBook {
    database: Database,
}

/// What became of a token that was to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The token.
    pub token: TokenRow,
    /// It had been revoked before.
    pub before: bool,
}

impl TokenBook {
    /// Opens it.
    ///
    /// # Errors
    /// When there is no run, it was begun by an earlier version of Herd, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let database = Database::open_to_look(folder)?;
        if database.is_old()? {
            let problem = "was begun by an earlier version of Herd, which knew no such tokens; go \
                           on with it once (`herd train --resume`), then it has them";
            return Err(StorageError::run(folder, problem));
        }
        Ok(Self { database })
    }

    /// All tokens, by number.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn all(&self) -> Result<Vec<TokenRow>, StorageError> {
        self.database.tokens()
    }

    /// A number that changes when somebody else has written something. Asking costs next to nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn version(&self) -> Result<i64, StorageError> {
        self.database.ask(|sql| sql.pragma_query_value(None, "data_version", |row| row.get(0)))
    }

    /// How the last start is reached, as [`super::Store::reached_at`] stored it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn place(&self) -> Result<Option<String>, StorageError> {
        let question = "SELECT place FROM incarnation ORDER BY number DESC LIMIT 1";
        let place: Vec<Option<String>> = self.database.list(question, |row| row.get(0))?;
        Ok(place.into_iter().flatten().next())
    }

    /// Stores a token and says its number.
    ///
    /// # Errors
    /// When there are too many, or it cannot be written.
    pub fn make(&mut self, token: &TokenRow) -> Result<u32, StorageError> {
        let made = self.all()?;
        let admits = made.iter().filter(|row| row.incarnation.is_none());
        if admits.filter(|row| row.left(token.made).is_ok()).count() >= MADE_MAX {
            let problem = format!("{MADE_MAX} tokens were made that admit; revoke some first");
            return Err(StorageError::run(self.database.path(), problem));
        }
        self.database.change(|sql| insert(sql, token, None))
    }

    /// Revokes tokens, all of them or, when there is no such one, none.
    ///
    /// # Errors
    /// When there is no such one, or it cannot be written.
    pub fn revoke(&mut self, ids: &[u32]) -> Result<Vec<Revoked>, StorageError> {
        let all = self.all()?;
        let mut found = Vec::new();
        for id in ids {
            let Some(token) = all.iter().find(|row| row.id == *id) else {
                let problem = format!("there is no token {id}; `herd token list` shows all");
                return Err(StorageError::run(self.database.path(), problem));
            };
            found.push(Revoked { token: token.clone(), before: token.revoked.is_some() });
        }
        let now = Timestamp::now().to_string();
        self.database.change(|sql| {
            for id in ids {
                let update = "UPDATE token SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL";
                sql.execute(update, params![id, now])?;
            }
            Ok(())
        })?;
        Ok(found)
    }
}
