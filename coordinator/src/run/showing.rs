//! What people are shown while a run goes on, and when: seldom enough that showing costs nothing.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engine::{Status, WorkerKey};

use super::control::Control;
use super::live::{EventKind, Moment, Recent, View};

/// Least time between two looks at the run for people.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(100);

/// Least time between two views for those who watch.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);

/// Views come so often even when nothing happens: a silent stream looks like a lost one.
const QUIET_INTERVAL: Duration = Duration::from_secs(5);

/// When people were shown something, and are to be shown the next.
pub(super) struct Showing {
    displayed: Instant,
    /// When what happened since then is to be shown.
    show_at: Option<Instant>,
    viewed: Instant,
    /// When those who watch are to get the next view.
    view_at: Option<Instant>,
    recent: Recent,
}

impl Showing {
    pub(super) fn new(now: Instant) -> Self {
        let recent = Recent::default();
        Self { displayed: now, show_at: None, viewed: now, view_at: None, recent }
    }

    /// When there is something to be shown.
    pub(super) fn due(&self) -> Option<Instant> {
        self.show_at.into_iter().chain(self.view_at).min()
    }
}

impl Control {
    /// Says something on the terminal and to those who watch.
    pub(super) fn say(&mut self, kind: EventKind, text: &str) {
        self.display.say(text);
        self.note(kind, text);
    }

    /// Says something to those who watch.
    pub(super) fn note(&self, kind: EventKind, text: &str) {
        let seconds = self.tally.elapsed(Instant::now()).as_secs_f64();
        self.board.live().note(kind, seconds, text);
    }

    /// Shows what has happened, if that is due.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        let showing = &mut self.showing;
        let due = showing.displayed + DISPLAY_INTERVAL;
        showing.show_at = Some(due).filter(|due| *due > now && !self.finished);
        if showing.show_at.is_none() {
            self.publish();
        }
        if self.board.live().viewers() == 0 {
            self.showing.view_at = None;
            return;
        }
        let due = self.showing.viewed + LIVE_INTERVAL;
        if due > now {
            self.showing.view_at = Some(due);
            return;
        }
        self.showing.viewed = now;
        self.showing.view_at = Some(now + QUIET_INTERVAL);
        self.view(now);
    }

    /// Shows how the run stands to all but those who watch it closely.
    pub(super) fn publish(&mut self) {
        let now = Instant::now();
        self.showing.displayed = now;
        let status = self.engine.status();
        let workers = (!status.finished).then(|| self.sessions.connected());
        self.tally.look(now, workers);
        if self.tally.has_leased() {
            self.showing.recent.note(now, self.tally.samples());
        }
        self.display.status(&status, &self.tally);
        let time = self.tally.elapsed(now);
        self.board.status(&status, self.tally.samples_per_second(), time, self.tally.curve());
        self.board.kinds(self.sessions.kinds());
    }

    /// Shows the last view, whether anybody watches or will.
    pub(super) fn settle(&mut self) {
        self.view(Instant::now());
        self.board.live().settle();
    }

    /// Shows how the run stands to those who watch it.
    fn view(&self, now: Instant) {
        let status = self.engine.status();
        let traffic = &self.keeping.constants.traffic;
        let (up, down) = (&traffic.up, &traffic.down);
        let time =
            if status.finished { self.tally.training_time() } else { self.tally.elapsed(now) };
        let live = self.board.live();
        let moment = live.moment(Moment {
            reason: self.ending.as_ref().map(|ending| ending.sentence()),
            seconds: time.as_secs_f64(),
            speeds: self.showing.recent.speeds(now, self.tally.samples()),
            bytes: (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed)),
            present: self.sessions.present(|worker| leases_of(&status, worker)),
            ..Moment::default()
        });
        live.show_with(View::new(live.about(), &status, &self.tally, moment), &self.tally);
    }
}

/// Leases that a worker holds.
fn leases_of(status: &Status, worker: WorkerKey) -> u32 {
    let found = status.workers.binary_search_by_key(&worker, |known| known.worker);
    found.map_or(0, |place| status.workers[place].leases_out)
}
