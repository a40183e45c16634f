//! What whoever controls a run may do while it goes on. Each act is answered, and told to all who look.

use std::time::Instant;

use engine::Event;
use protocol::ToWorker;
use tokio::sync::oneshot;

use super::Ending;
use super::control::Control;
use super::live::EventKind;
use super::sessions::REMOVED;

/// One act.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// No more leases; what is out is merged.
    Pause,
    /// The end of a pause.
    Resume,
    /// A checkpoint, now. It is answered when it is on the disk.
    Checkpoint,
    /// The end of this start, as with Ctrl-C.
    Stop,
    /// The end of a worker of this number, which may not come back.
    Kick(u32),
    /// The learning rate before the schedule, from the next lease on; above 0.
    LearningRate(f64),
}

/// What became of an act: a sentence for people, of what is done or why it is not.
pub(crate) type Answer = Result<String, String>;

/// An act that somebody waits for.
#[derive(Debug)]
pub struct Asked {
    /// What is to be done.
    pub act: Act,
    /// Takes what became of it.
    pub answer: oneshot::Sender<Answer>,
}

impl Control {
    /// Carries out an act and answers it.
    pub(super) fn act(&mut self, asked: Asked) {
        let Asked { act, answer } = asked;
        if self.finished || self.is_ending() {
            // Who asked may not wait any more; so it is with all answers.
            let _ = answer.send(Err("the run is over, or about to end".to_owned()));
            return;
        }
        let done = match act {
            Act::Pause => self.pause(),
            Act::Resume => self.resume(),
            Act::LearningRate(rate) => self.change_rate(rate),
            Act::Kick(number) => self.kick(number),
            Act::Stop => {
                self.say(EventKind::Admin, "admin stopped the run");
                self.stop(Ending::Stopped);
                Ok("the run ends: a checkpoint and the models are written; herd train --resume goes \
                    on with it"
                    .to_owned())
            }
            Act::Checkpoint => {
                self.note(EventKind::Admin, "admin asked for a checkpoint");
                self.keeping.ask(answer);
                return;
            }
        };
        let _ = answer.send(done);
    }

    fn pause(&mut self) -> Answer {
        if self.engine.status().paused {
            return Err("the run is paused already".to_owned());
        }
        self.tally.pause(Instant::now());
        self.tell(Event::Pause);
        self.say(EventKind::Admin, "admin paused the run");
        Ok(match self.leased.len() {
            0 => "the run is paused".to_owned(),
            out => format!("the run is paused; leases that are out are finished: {out}"),
        })
    }

    fn resume(&mut self) -> Answer {
        if !self.engine.status().paused {
            return Err("the run is not paused".to_owned());
        }
        self.tally.resume(Instant::now());
        self.tell(Event::Resume);
        self.say(EventKind::Admin, "admin resumed the run");
        Ok("the run goes on".to_owned())
    }

    fn change_rate(&mut self, rate: f64) -> Answer {
        self.tell(Event::LearningRate { rate });
        self.say(EventKind::Admin, &format!("admin set the learning rate to {rate}"));
        Ok(format!(
            "the learning rate is {rate}, times the schedule's factor, from the next lease on"
        ))
    }

    fn kick(&mut self, number: u32) -> Answer {
        let Some(worker) = self.sessions.numbered(number) else {
            return Err(format!("there is no worker {number} in this run, or it has left"));
        };
        let name = self.tally.name(number).to_owned();
        self.sessions.remove(worker);
        self.say(EventKind::Admin, &format!("admin removed {name}"));
        self.send(worker, ToWorker::Refused { reason: REMOVED.to_owned(), retry: false });
        self.left(worker, "admin removed it");
        Ok(format!("{name} is removed; its leases go to others"))
    }
}
