//! `herd token`: make, list and revoke the tokens of a run, whether it is going on or not.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Denied, Role, Secret};
use crate::cli::{Failure, TokenListArgs, TokenMakeArgs, TokenRevokeArgs, aligned, answer};
use crate::goals::Span;
use crate::storage::{Audit, RunLock, TokenBook, TokenRow, find_run};
use crate::train::{Place, eprint_line};

/// Longest note, in characters: it stands in a line of a table.
const NOTE_CHARACTERS_MAX: usize = 60;

/// Runs `herd token make`.
///
/// # Errors
/// When the note is none, or there is no such run, or it cannot be written.
pub fn make(args: &TokenMakeArgs) -> anyhow::Result<()> {
    let note = args.note.clone().unwrap_or_default();
    check_note(&note)?;
    let folder = find_run(&args.run)?;
    let mut book = TokenBook::open(&folder)?;
    let secret = Secret::new()?;
    let mut row = TokenRow::new(&secret, args.role);
    row.note = note;
    row.expires = args.expires.map(|Span(time)| row.made + time);
    row.id = book.make(&row)?;
    let TokenRow { id, role, .. } = row;
    let until = row.expires.map(|end| format!(" until {}", minute(end))).unwrap_or_default();
    Audit::of(&folder).note(None, &format!("made token {id}, {role}{until}"));
    // As the last start has printed it.
    let place = book.place()?.and_then(|text| serde_json::from_str::<Place>(&text).ok());
    let links = place.map(|place| links(&place, role, secret.reveal())).unwrap_or_default();
    if args.json {
        let links: serde_json::Map<String, Value> =
            links.into_iter().map(|(name, link)| (name.to_owned(), link.into())).collect();
        let expires = row.expires.map(|time| time.to_string());
        let value = json!({
            "id": id, "role": role.name(), "token": secret.reveal(), "expires": expires, "links": links,
        });
        return Ok(answer(&format!("{value}\n"))?);
    }
    let mut text = format!("token   {}\n", secret.reveal());
    text.push_str(&format!(
        "id      {id}, {role},{}\n",
        if until.is_empty() { " for ever" } else { &until }
    ));
    for (name, link) in links {
        text.push_str(&format!("{name:<7} {link}\n"));
    }
    answer(&text)?;
    if RunLock::holder(&folder).is_none() {
        eprint_line(
            "the run is not going on: it will admit once `herd train --resume` goes on with it",
        );
    }
    Ok(())
}

/// What a token of this role is good for, by the names that `herd train` prints.
fn links(place: &Place, role: Role, token: &str) -> Vec<(&'static str, String)> {
    match role {
        Role::Worker => vec![("join", place.worker(token)), ("page", place.page(token))],
        Role::Viewer => vec![("watch", place.dashboard(token))],
        Role::Admin => vec![("admin", place.dashboard(token))],
    }
}

fn check_note(note: &str) -> Result<(), Failure> {
    if note.chars().any(char::is_control) || note.chars().count() > NOTE_CHARACTERS_MAX {
        return Err(Failure::Usage(format!(
            "--note: write at most {NOTE_CHARACTERS_MAX} characters, all on one line"
        )));
    }
    Ok(())
}

/// Runs `herd token list`.
///
/// # Errors
/// When there is no such run, or it cannot be read.
pub fn list(args: &TokenListArgs) -> anyhow::Result<()> {
    let folder = find_run(&args.run)?;
    let tokens = TokenBook::open(&folder)?.all()?;
    let now = Timestamp::now();
    let text = if args.json {
        let tokens: Vec<Value> = tokens.iter().map(|token| value(token, now)).collect();
        format!("{}\n", json!({ "tokens": tokens }))
    } else {
        let heads = ["id", "role", "state", "made (UTC)", "by", "until", "note"];
        let mut table = vec![heads.map(str::to_owned).to_vec()];
        table.extend(tokens.iter().map(|token| cells(token, now)));
        aligned(&table)
    };
    Ok(answer(&text)?)
}

/// Whether a token admits, in a word.
fn state(token: &TokenRow, now: Timestamp) -> &'static str {
    match token.left(now) {
        Ok(_) => "admits",
        Err(Denied::Revoked) => "revoked",
        Err(Denied::Expired | Denied::Unknown) => "expired",
    }
}

fn cells(token: &TokenRow, now: Timestamp) -> Vec<String> {
    let by = token.incarnation.map_or("herd token".to_owned(), |start| format!("start {start}"));
    vec![
        token.id.to_string(),
        token.role.to_string(),
        state(token, now).to_owned(),
        minute(token.made),
        by,
        token.expires.map_or_else(|| "-".to_owned(), minute),
        token.note.clone(),
    ]
}

fn value(token: &TokenRow, now: Timestamp) -> Value {
    let text = |time: Timestamp| time.to_string();
    json!({
        "id": token.id,
        "role": token.role.name(),
        "state": state(token, now),
        "made": text(token.made),
        "start": token.incarnation,
        "expires": token.expires.map(text),
        "revoked": token.revoked.map(text),
        "note": token.note,
    })
}

/// A time to the minute, in UTC.
fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Runs `herd token revoke`.
///
/// # Errors
/// When there is no such run or token, or it cannot be written.
pub fn revoke(args: &TokenRevokeArgs) -> anyhow::Result<()> {
    let folder = find_run(&args.run)?;
    let revoked = TokenBook::open(&folder)?.revoke(&args.ids)?;
    let audit = Audit::of(&folder);
    let mut text = String::new();
    for revoked in revoked {
        let TokenRow { id, role, .. } = revoked.token;
        if revoked.before {
            text.push_str(&format!("token {id}, {role}, was revoked before\n"));
        } else {
            audit.note(None, &format!("revoked token {id}, {role}"));
            text.push_str(&format!("token {id}, {role}, is revoked\n"));
        }
    }
    Ok(answer(&text)?)
}
