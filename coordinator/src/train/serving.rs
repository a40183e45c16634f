//! The server of a run, and how long it outlives the run: volunteers want to see the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, timeout};

use super::END_TIMEOUT;
use super::display;
use super::signals::Signals;
use crate::run::Board;
use crate::server::{self, Shared};

/// How often it is looked whether a browser is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The running server.
pub(super) struct Serving {
    board: Arc<Board>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Serving {
    /// Starts to serve.
    pub(super) fn start(listener: TcpListener, shared: Shared, board: Arc<Board>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server::serve(listener, Arc::new(shared), async {
            // The sender is dropped when the run is over.
            let _ = stopped.await;
        }));
        Self { board, stop, server }
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
        self.board.live().close();
        drop(self.stop);
        // Sessions have ended; what lingers is cut off with the runtime.
        let _ = timeout(END_TIMEOUT, self.server).await;
    }

    async fn watched(&self, linger: Duration) {
        let end = Instant::now() + linger;
        let mut looks = interval(LOOK_INTERVAL);
        while self.board.is_watched() && Instant::now() < end {
            looks.tick().await;
        }
    }
}
