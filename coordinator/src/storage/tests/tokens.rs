//! Tests of tokens in the ledger, and of a ledger from before them.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;

use super::store::Run;
use crate::storage::{Glance, Store, TokenBook, TokenRow};
use crate::tokens::{Denied, Role, Secret};

fn rows() -> Vec<TokenRow> {
    Role::ALL.map(|role| TokenRow::new(&Secret::new().unwrap(), role)).into()
}

fn begin(store: &mut Store) -> (u32, Vec<u32>) {
    store.begin("127.0.0.1:7".parse().unwrap(), &rows()).unwrap()
}

fn all(folder: &Path) -> Vec<TokenRow> {
    TokenBook::open(folder).unwrap().all().unwrap()
}

#[test]
fn starts_tokens_and_addresses_last() {
    let mut run = Run::new();
    let mut expected = Vec::new();
    for number in 1..=3 {
        let store = run.store.as_mut().unwrap();
        let address = format!("127.0.0.1:{number}").parse().unwrap();
        let made = rows();
        let (incarnation, ids) = store.begin(address, &made).unwrap();
        assert_eq!((incarnation, ids.len()), (number, 3));
        expected.extend(made.into_iter().zip(ids).map(|(row, id)| TokenRow {
            id,
            incarnation: Some(number),
            ..row
        }));
        store.reached_at(&format!("place {number}")).unwrap();
        run.store = None;
        let store = Store::open(run.path()).unwrap();
        let book = TokenBook::open(run.path()).unwrap();
        assert_eq!(book.place().unwrap(), Some(format!("place {number}")));
        assert_eq!(all(run.path()), expected);
        assert_eq!(store.address().unwrap(), Some(address));
        run.store = Some(store);
    }
}

#[test]
fn tokens_of_many_starts_do_not_fill_the_ledger() {
    let mut run = Run::new();
    let store = run.store.as_mut().unwrap();
    let mut book = TokenBook::open(run.folder.path()).unwrap();
    begin(store);
    let by_hand = book.make(&rows()[0]).unwrap();
    let mut ids = Vec::new();
    for _ in 0..120 {
        ids = begin(store).1;
    }
    let left = book.all().unwrap();
    let starts: Vec<u32> = left.iter().filter_map(|row| row.incarnation).collect();
    assert_eq!((starts.len(), starts[0], starts[3]), (303, 1, 22));
    assert!(left.iter().any(|row| row.id == by_hand), "what was made by hand stays");
    assert_eq!(left.last().map(|row| row.id), ids.last().copied(), "no number is given twice");
}

#[test]
fn what_is_revoked_stays_revoked_and_what_is_unknown_revokes_nothing() {
    let mut run = Run::new();
    let (_, ids) = begin(run.store.as_mut().unwrap());
    let mut book = TokenBook::open(run.path()).unwrap();
    let error = book.revoke(&[ids[0], 99]).unwrap_err().to_string();
    assert!(error.contains("there is no token 99; `herd token list`"), "{error}");
    assert!(book.all().unwrap().iter().all(|row| row.revoked.is_none()));
    let revoked = book.revoke(&[ids[0], ids[2]]).unwrap();
    assert!(revoked.iter().all(|revoked| !revoked.before));
    let first = book.all().unwrap()[0].revoked;
    assert!(first.is_some());
    assert!(book.revoke(&[ids[0]]).unwrap()[0].before);
    run.store = None;
    run.store = Some(Store::open(run.path()).unwrap());
    begin(run.store.as_mut().unwrap());
    let rows = book.all().unwrap();
    assert_eq!(rows[0].revoked, first, "the time is that of the first time");
    let revoked: Vec<u32> =
        rows.iter().filter(|row| row.revoked.is_some()).map(|row| row.id).collect();
    assert_eq!(revoked, [ids[0], ids[2]]);
}

#[test]
fn a_token_admits_up_to_its_end() {
    let mut row = rows().remove(0);
    assert_eq!(row.left(row.made), Ok(None));
    let second = Duration::from_secs(1);
    row.expires = Some(row.made + 2 * second);
    assert_eq!(row.left(row.made), Ok(Some(2 * second)));
    assert_eq!(row.left(row.made + 2 * second), Err(Denied::Expired));
    assert_eq!(row.left(row.made + 9 * second), Err(Denied::Expired));
    row.revoked = Some(row.made);
    assert_eq!(row.left(row.made), Err(Denied::Revoked));
}

#[test]
fn tokens_made_by_hand_are_bounded() {
    let mut run = Run::new();
    begin(run.store.as_mut().unwrap());
    let sql = Connection::open(run.path().join("run.db")).unwrap();
    let insert = |expires: Option<&str>, count: usize| {
        for _ in 0..count {
            sql.execute(
                "INSERT INTO token (role, hash, made, expires, note)
                 VALUES ('viewer', zeroblob(32), '2026-01-01T00:00:00Z', ?1, '')",
                [expires],
            )
            .unwrap();
        }
    };
    sql.execute_batch("BEGIN").unwrap();
    insert(Some("2026-01-02T00:00:00Z"), 1000);
    insert(None, 999);
    sql.execute_batch("COMMIT").unwrap();
    let mut book = TokenBook::open(run.path()).unwrap();
    book.make(&rows()[0]).unwrap();
    let error = book.make(&rows()[0]).unwrap_err().to_string();
    assert!(error.contains("1000 tokens were made that admit; revoke some"), "{error}");
}

/// Makes of a ledger what the first version of it was.
fn age(folder: &Path, token: &Secret) {
    let sql = Connection::open(folder.join("run.db")).unwrap();
    sql.execute_batch(
        "DROP TABLE token;
         ALTER TABLE incarnation DROP COLUMN place;
         ALTER TABLE incarnation ADD COLUMN token BLOB NOT NULL DEFAULT x'';
         PRAGMA user_version = 1;",
    )
    .unwrap();
    sql.execute("UPDATE incarnation SET token = ?1", [token.hash().as_bytes()]).unwrap();
}

#[test]
fn a_ledger_from_before_tokens_had_roles_goes_on_with_its_tokens() {
    let mut run = Run::new();
    begin(run.store.as_mut().unwrap());
    let saved = run.save(1);
    run.store = None;
    let secret = Secret::new().unwrap();
    age(run.path(), &secret);
    let error = TokenBook::open(run.path()).unwrap_err().to_string();
    assert!(error.contains("go on with it once (`herd train --resume`)"), "{error}");
    // Who only looks sees it, and leaves it as it is.
    let started = Glance::read(run.path()).unwrap().incarnations.remove(0).started;
    assert!(TokenBook::open(run.path()).is_err());
    let loaded = super::store::load(run.path(), &run.table).unwrap();
    run.assert_is(&loaded, 1, &saved, run.path());
    let rows = all(run.path());
    let expected = TokenRow {
        id: 1,
        made: started.parse::<Timestamp>().unwrap(),
        incarnation: Some(1),
        ..TokenRow::new(&secret, Role::Worker)
    };
    assert_eq!(rows, [expected]);
    let mut store = Store::open(run.path()).unwrap();
    assert_eq!(begin(&mut store), (2, vec![2, 3, 4]));
}
