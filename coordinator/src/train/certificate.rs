//! The run's certificate: where it comes from, and how it is changed while the run goes on.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::display::{self, Log};
use super::reach;
use crate::cli::Failure;
use crate::config::{ServerSection, TlsMode};
use crate::run::ControlEvent;
use crate::server::{Files, Tls};

/// How often it is looked whether the certificate's files have changed. They are read when they have
/// stayed the same for so long: who writes them may do so one after the other.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The certificate in the files that the job names.
///
/// # Errors
/// When they are not right: before anything starts.
pub(super) fn from_files(server: &ServerSection) -> Result<Option<Tls>, Failure> {
    let Some(certificate) = &server.tls_cert else { return Ok(None) };
    let key = server.tls_key.as_ref().unwrap_or(certificate);
    let files = Files { certificate: certificate.clone(), key: key.clone() };
    Tls::from_files(files).map(Some).map_err(|error| Failure::Data(error.to_string()))
}

/// The certificate of the run in this folder, if connections are to be encrypted.
///
/// # Errors
/// When it cannot be read or made.
pub(super) fn of_run(server: &ServerSection, folder: &Path) -> Result<Option<Arc<Tls>>, Failure> {
    let tls = match server.tls {
        TlsMode::Off => from_files(server)?,
        TlsMode::SelfSigned => {
            let made = Tls::self_signed(folder, &reach::all_names(server));
            Some(made.map_err(|error| Failure::Data(error.to_string()))?)
        }
    };
    Ok(tls.map(Arc::new))
}

/// Says what others can read on the way, unless that is wanted.
pub(super) fn warn(server: &ServerSection, reach: &reach::Reach) {
    if reach.is_here_only() || reach.is_encrypted() || server.insecure {
        return;
    }
    display::warn(
        "others can reach this port and nothing is encrypted: whoever is on the way reads tokens, data and \
         model; give --tls self-signed or --tls-cert FILE, or --insecure if that is as it should be",
    );
}

/// Reads the certificate's files again when they have changed, and at SIGHUP.
pub(super) struct Renewal {
    tls: Arc<Tls>,
    hangups: Hangups,
}

impl Renewal {
    /// Catches SIGHUP from now on, if there are files to read; before this it ends the process.
    pub(super) fn catch(tls: Option<&Arc<Tls>>) -> Option<Self> {
        let tls = tls.filter(|tls| tls.files().is_some())?;
        Some(Self { tls: tls.clone(), hangups: Hangups::catch() })
    }

    /// Goes on as long as the process does.
    pub(super) async fn keep(mut self, log: Log, events: mpsc::WeakSender<ControlEvent>) {
        let Some(files) = self.tls.files() else { return };
        let terminal = std::io::stderr().is_terminal();
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read = files.state();
        let mut seen = read;
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let state = files.state();
                    let settled = state == std::mem::replace(&mut seen, state);
                    if state == read || !settled {
                        continue;
                    }
                }
                () = self.hangups.next() => {
                    // It also comes when a terminal is closed, which ends a run as it ever did.
                    if terminal && !std::io::stderr().is_terminal() {
                        if let Some(events) = events.upgrade() {
                            // Nobody listens when the run is over.
                            let _ = events.send(ControlEvent::Terminated).await;
                        }
                        return;
                    }
                }
            }
            read = files.state();
            match self.tls.reload() {
                Ok(()) => {
                    let fingerprint = self.tls.fingerprint();
                    log.say(&format!("the certificate was read again: SHA-256 {fingerprint}"));
                }
                Err(error) => {
                    log.say(&format!("warning: the certificate stays as it was: {error}"))
                }
            }
        }
    }
}

/// The signal by which services are told to read their files again; never where there is none.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    fn catch() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            // Without it the files are still looked at.
            Self { signal: signal(SignalKind::hangup()).ok() }
        }
        #[cfg(not(unix))]
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        std::future::pending().await
    }
}
