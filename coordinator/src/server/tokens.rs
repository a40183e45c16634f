//! Who may do what: each token has a role, and each request needs one of some roles. Tokens that are
//! made or revoked while the coordinator runs are taken up from the run's ledger.

use std::future::{Future, pending};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::Shared;
use crate::storage::{StorageError, TokenBook, TokenRow};
use crate::tokens::{Bearer, Denied, Role, hash};

/// How often it is looked whether tokens were made or revoked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a wait for the end of a token's time is at most: clocks of the wall may be set.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The tokens of a run, of which only the hashes are known.
#[derive(Debug)]
pub struct Tokens {
    known: watch::Receiver<Vec<TokenRow>>,
    /// What follows the ledger: it looks when it is asked to, and ends when the sender is dropped.
    follower: Option<(mpsc::Sender<oneshot::Sender<()>>, JoinHandle<()>)>,
}

impl Tokens {
    /// Those of the run in this folder, as they are now and as they will be, and besides `own`, which
    /// are stored nowhere.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn follow(folder: &Path, own: Vec<TokenRow>) -> anyhow::Result<Self> {
        let mut follower = Follower { book: TokenBook::open(folder)?, own, seen: None };
        let rows = follower.look()?.unwrap_or_default();
        let (sender, known) = watch::channel(rows);
        let (ask, asked) = mpsc::channel::<oneshot::Sender<()>>();
        let thread = thread::Builder::new().name("herd-tokens".to_owned()).spawn(move || {
            loop {
                let answer = asked.recv_timeout(LOOK_INTERVAL);
                if let Err(RecvTimeoutError::Disconnected) = answer {
                    return;
                }
                follower.tell(&sender);
                // Dropping the answer is the answer.
                drop(answer);
            }
        })?;
        Ok(Self { known, follower: Some((ask, thread)) })
    }

    /// Whose token this is. It is compared with all, each time in constant time.
    ///
    /// # Errors
    /// When it does not admit.
    pub fn bearer(&self, token: &str) -> Result<Bearer, Denied> {
        let hash = hash(token);
        let known = self.known.borrow();
        let found =
            known.iter().fold(None, |found, row| if row.hash == hash { Some(row) } else { found });
        let row = found.ok_or(Denied::Unknown)?;
        row.left(Timestamp::now())?;
        Ok(Bearer { id: row.id, role: row.role })
    }

    /// The same, with a look into the ledger before a token is called unknown: it may have been made a
    /// moment ago.
    ///
    /// # Errors
    /// When it does not admit.
    pub(super) async fn look_up(&self, token: &str) -> Result<Bearer, Denied> {
        let bearer = self.bearer(token);
        let (Err(Denied::Unknown), Some((ask, _))) = (bearer, &self.follower) else {
            return bearer;
        };
        let (answer, answered) = oneshot::channel();
        if ask.send(answer).is_ok() {
            // Nothing is sent: it is dropped.
            let _ = answered.await;
        }
        self.bearer(token)
    }

    /// Whether the token of this number admits now.
    #[must_use]
    pub fn admits(&self, id: u32) -> bool {
        left(&self.known.borrow(), id).is_ok()
    }

    /// Resolves when the token of this number admits no more, and says why.
    pub fn end_of(&self, id: u32) -> impl Future<Output = Denied> + Send + use<> {
        let mut known = self.known.clone();
        async move {
            loop {
                let wait = match left(&known.borrow_and_update(), id) {
                    Ok(left) => left.map(|left| left.min(WAIT_MAX)),
                    Err(denied) => return denied,
                };
                let time = async {
                    match wait {
                        Some(wait) => sleep(wait).await,
                        None => pending().await,
                    }
                };
                let changed = async {
                    // Nothing changes any more when nobody follows the ledger.
                    if known.changed().await.is_err() {
                        pending::<()>().await;
                    }
                };
                tokio::select! { () = time => {}, () = changed => {} }
            }
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        if let Some((ask, thread)) = self.follower.take() {
            drop(ask);
            // It closes the ledger, whose helper files then go. It never waits for long, and has said
            // what went wrong.
            let _ = thread.join();
        }
    }
}

/// For how long the token of this number still admits, if that is known.
fn left(known: &[TokenRow], id: u32) -> Result<Option<Duration>, Denied> {
    let row = known.iter().find(|row| row.id == id).ok_or(Denied::Unknown)?;
    row.left(Timestamp::now())
}

/// Reads the ledger again when somebody has written into it.
struct Follower {
    book: TokenBook,
    own: Vec<TokenRow>,
    /// The ledger's version that was read last.
    seen: Option<i64>,
}

impl Follower {
    /// All tokens, if something was written.
    fn look(&mut self) -> Result<Option<Vec<TokenRow>>, StorageError> {
        let version = Some(self.book.version()?);
        if version == self.seen {
            return Ok(None);
        }
        let mut rows = self.book.all()?;
        rows.extend(self.own.iter().cloned());
        self.seen = version;
        Ok(Some(rows))
    }

    fn tell(&mut self, sender: &watch::Sender<Vec<TokenRow>>) {
        match self.look() {
            // Mostly it was a checkpoint that was written.
            Ok(Some(rows)) => {
                sender.send_if_modified(|known| {
                    let differ = *known != rows;
                    *known = rows;
                    differ
                });
            }
            Ok(None) => {}
            // Those that were known go on admitting. A disk that fails ends the run by itself.
            Err(error) => tracing::debug!("tokens cannot be read: {error}"),
        }
    }
}

/// The token that a request carries.
pub(super) fn shown(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

impl Shared {
    /// Who asks, if it is one of these roles.
    ///
    /// # Errors
    /// What to answer to a request that may not do what it asks for.
    pub(super) fn bearer(
        &self,
        headers: &HeaderMap,
        roles: &[Role],
    ) -> Result<Bearer, (StatusCode, &'static str)> {
        let token = shown(headers).ok_or(Denied::Unknown);
        let bearer = token.and_then(|token| self.access.tokens.bearer(token));
        let bearer = bearer.map_err(|denied| (StatusCode::UNAUTHORIZED, denied.line()))?;
        if roles.contains(&bearer.role) {
            return Ok(bearer);
        }
        let sentence = match bearer.role {
            Role::Worker => "a worker's token does not allow this\n",
            Role::Viewer => "a viewer's token does not allow this\n",
            Role::Admin => "an admin's token does not allow this\n",
        };
        Err((StatusCode::FORBIDDEN, sentence))
    }

    /// The role of who asks, if it is one of these.
    ///
    /// # Errors
    /// What to answer to a request that may not do what it asks for.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        roles: &[Role],
    ) -> Result<Role, (StatusCode, &'static str)> {
        self.bearer(headers, roles).map(|bearer| bearer.role)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::storage::Store;
    use crate::tokens::Secret;

    /// Many times what a busy machine needs.
    const LONG: Duration = Duration::from_secs(60);

    fn row(secret: &Secret, role: Role) -> TokenRow {
        TokenRow::new(secret, role)
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { timeout(LONG, future).await.expect("in time") })
    }

    #[test]
    fn tokens_are_taken_up_and_given_up_while_they_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::create(folder.path()).unwrap();
        let [worker, own, viewer] = [(); 3].map(|()| Secret::new().unwrap());
        let rows = [row(&worker, Role::Worker)];
        let (_, ids) = store.begin("127.0.0.1:1".parse().unwrap(), &rows).unwrap();
        let tokens = Tokens::follow(folder.path(), vec![row(&own, Role::Worker)]).unwrap();
        let first = Bearer { id: ids[0], role: Role::Worker };
        assert_eq!(tokens.bearer(worker.reveal()), Ok(first));
        assert_eq!(tokens.bearer(own.reveal()).map(|bearer| bearer.id), Ok(0));
        for unknown in ["", "x", viewer.reveal(), &worker.reveal()[1..]] {
            assert_eq!(tokens.bearer(unknown), Err(Denied::Unknown), "{unknown}");
        }
        let end = tokens.end_of(first.id);
        let mut book = TokenBook::open(folder.path()).unwrap();
        let id = book.make(&row(&viewer, Role::Viewer)).unwrap();
        let second = Bearer { id, role: Role::Viewer };
        assert_eq!(block_on(tokens.look_up(viewer.reveal())), Ok(second), "at once");
        assert_eq!(tokens.bearer(viewer.reveal()), Ok(second));
        assert_eq!(block_on(tokens.look_up("x")), Err(Denied::Unknown));
        book.revoke(&[first.id]).unwrap();
        assert_eq!(block_on(end), Denied::Revoked);
        assert_eq!(tokens.bearer(worker.reveal()), Err(Denied::Revoked));
        assert!(!tokens.admits(first.id) && tokens.admits(id) && tokens.admits(0));
        drop(book);
        drop(store);
        drop(tokens);
        let left = std::fs::read_dir(folder.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains("run.db-")), "{left:?}");
    }

    #[test]
    fn a_token_ends_with_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let _store = Store::create(folder.path()).unwrap();
        let [short, over] = [(); 2].map(|()| Secret::new().unwrap());
        let mut book = TokenBook::open(folder.path()).unwrap();
        let mut token = row(&short, Role::Worker);
        token.expires = Some(token.made + LONG);
        let id = book.make(&token).unwrap();
        let mut token = row(&over, Role::Worker);
        token.expires = Some(token.made);
        let gone = book.make(&token).unwrap();
        let tokens = Tokens::follow(folder.path(), Vec::new()).unwrap();
        assert_eq!(tokens.bearer(short.reveal()).map(|bearer| bearer.id), Ok(id));
        assert_eq!(tokens.bearer(over.reveal()), Err(Denied::Expired));
        assert_eq!(block_on(tokens.end_of(gone)), Denied::Expired);
        assert_eq!(block_on(tokens.end_of(99)), Denied::Unknown);
        let soon = async { timeout(Duration::from_millis(1), tokens.end_of(id)).await };
        assert!(block_on(soon).is_err(), "it still admits");
    }
}
