//! The server of a run, and how long it outlives the run: volunteers want to see the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::END_TIMEOUT;
use super::display;
use super::signals::Signals;
use crate::run::Board;
use crate::server::{self, Shared, Tls};

/// How often it is looked whether a browser is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The running server.
pub(super) struct Serving {
    board: Arc<Board>,
    stop: watch::Sender<()>,
    servers: JoinSet<()>,
}

impl Serving {
    /// Starts to serve: the port with its certificate, if there is one, and another for this machine's
    /// own workers if they are not to use that.
    pub(super) fn start(
        (port, tls): (TcpListener, Option<Arc<Tls>>),
        local: Option<TcpListener>,
        shared: Shared,
        board: Arc<Board>,
    ) -> Self {
        let (stop, stopped) = watch::channel(());
        let shared = Arc::new(shared);
        let mut servers = JoinSet::new();
        for (listener, tls) in
            [Some((port, tls)), local.map(|local| (local, None))].into_iter().flatten()
        {
            let mut stopped = stopped.clone();
            servers.spawn(server::serve(listener, tls, shared.clone(), async move {
                // The sender says nothing: it is dropped when the run is over.
                let _ = stopped.changed().await;
            }));
        }
        Self { board, stop, servers }
    }

    /// Serves on for at most so long while a browser is there, and ends.
    pub(super) async fn end(self, linger: Duration) {
        if self.board.is_watched() && !linger.is_zero() {
            let seconds = linger.as_secs();
            display::eprint_line(&format!(
                "the page is served until it is closed, for {seconds} s at most; Ctrl-C ends it"
            ));
            match Signals::catch() {
                Ok(mut signals) => tokio::select! {
                    () = self.watched(linger) => {}
                    () = signals.any() => {}
                },
                Err(_) => self.watched(linger).await,
            }
        }
        drop(self.stop);
        // Sessions have ended; what lingers is cut off with the runtime.
        let _ = timeout(END_TIMEOUT, self.servers.join_all()).await;
    }

    async fn watched(&self, linger: Duration) {
        let end = Instant::now() + linger;
        let mut looks = interval(LOOK_INTERVAL);
        while self.board.is_watched() && Instant::now() < end {
            looks.tick().await;
        }
    }
}
