//! The signals that end a run.

use tokio::sync::mpsc;

use crate::run::ControlEvent;

/// Ctrl-C and, where there is one, the signal by which systems end their services.
#[derive(Debug)]
pub(super) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caught {
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

impl Signals {
    /// Catches them from now on; before this they end the process at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn catch() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(windows)]
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    async fn next(&mut self) -> Caught {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Interrupt,
            _ = self.terminate.recv() => Caught::Terminate,
        }
        #[cfg(windows)]
        {
            self.interrupt.recv().await;
            Caught::Interrupt
        }
    }

    /// Resolves at the next signal, whichever it is.
    pub(super) async fn any(&mut self) {
        self.next().await;
    }

    /// The first signal ends the run and keeps what is there; the second ends the process.
    pub(super) async fn tell(mut self, events: mpsc::Sender<ControlEvent>) {
        let event = match self.next().await {
            Caught::Interrupt => ControlEvent::Interrupted,
            #[cfg(unix)]
            Caught::Terminate => ControlEvent::Terminated,
        };
        // Nobody listens when the run is over.
        let _ = events.send(event).await;
        // Released, so that the run's end is not held up by this task.
        drop(events);
        std::process::exit(match self.next().await {
            Caught::Interrupt => 130,
            #[cfg(unix)]
            Caught::Terminate => 143,
        });
    }
}
