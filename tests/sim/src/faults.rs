//! What goes wrong, and when it stops.

use engine::Event;

use crate::failure::Check;
use crate::net::Up;
use crate::plan::{Fault, Kind, SECOND};
use crate::world::{Due, World};

impl World {
    pub(crate) fn go_wrong(&mut self, fault: Fault) -> Check {
        self.log(|| format!("{fault:?}"));
        let quiet = self.plan.quiet;
        let before_quiet = move |now: u64, time: u64| (now + time).min(quiet.max(now));
        match fault {
            Fault::Cut { worker, above, below } => {
                let Some(conn) = self.workers[worker].conn() else { return Ok(()) };
                if let Some(connection) = self.net.connections.get_mut(&conn) {
                    connection.broken = true;
                    self.after(above, Due::LostAbove(conn));
                    self.after(below, Due::LostBelow(conn));
                }
            }
            Fault::Hold { worker, time } => {
                self.net.held.insert(worker, before_quiet(self.now, time));
            }
            Fault::CrashWorker { worker, back } => {
                let conn = self.workers[worker].conn();
                let life = self.workers[worker].crash();
                if let Some(conn) = conn {
                    self.net.close(conn, false);
                    let time = self.dice.below(45 * SECOND);
                    self.after(time, Due::LostAbove(conn));
                }
                let back = before_quiet(self.now, back);
                self.at(back, Due::Revive(worker, life));
            }
            Fault::Leave { worker, back } => {
                self.leave(worker);
                let life = self.workers[worker].crash();
                let back = before_quiet(self.now, back);
                self.at(back, Due::Revive(worker, life));
            }
            Fault::Release { worker } => self.release(worker),
            Fault::Replay { worker } => self.replay(worker),
            Fault::Stall { time } => {
                if let Some(above) = &mut self.above {
                    above.stalled = self.now + time;
                }
            }
            Fault::CrashCoordinator { down } => self.crash_coordinator(down),
            Fault::Pause { time } => {
                self.at(before_quiet(self.now, time), Due::Resume);
                return self.tell(Event::Pause);
            }
            Fault::Rate { rate } => return self.tell(Event::LearningRate { rate }),
            Fault::Stop => {
                self.stopped = self.above.is_some();
                return self.tell(Event::Stop);
            }
            Fault::Rot => self.rots += 1,
        }
        Ok(())
    }

    /// Says Bye and closes.
    fn leave(&mut self, worker: usize) {
        self.send_up(worker, Up::Bye);
        if let Some(conn) = self.workers[worker].conn() {
            let time = 2 * self.delay(worker) + 60 * SECOND;
            self.after(time, Due::LostAbove(conn));
        }
    }

    pub(crate) fn revive(&mut self, worker: usize, life: u64) {
        if self.workers[worker].revive(life) {
            self.connect(worker, life);
        }
    }

    /// The machine of the coordinator fails: what it had not made durable may be gone.
    pub(crate) fn crash_coordinator(&mut self, down: u64) {
        if self.above.take().is_none() {
            return;
        }
        self.log(|| String::from("the coordinator fails"));
        self.disk.crash(&mut self.dice);
        if self.rots > 0 && self.disk.ledger.checkpoints.len() > 1 {
            let good = self.disk.ledger.checkpoints.iter().rev().map(|kept| kept.name.clone());
            let newest = good.into_iter().next();
            if let Some(name) = newest {
                self.rots -= 1;
                self.disk.rot(&name, &mut self.dice);
            }
        }
        let connections: Vec<u64> = self.net.connections.keys().copied().collect();
        for conn in connections {
            self.net.close(conn, true);
            let time = if self.dice.chance(0.8) { SECOND } else { 45 * SECOND };
            let time = self.dice.below(time);
            self.after(time, Due::LostBelow(conn));
        }
        self.after(down, Due::Start);
    }

    /// From here on nothing goes wrong: who meant no good has gone, who was away is back.
    pub(crate) fn grow_quiet(&mut self) {
        self.log(|| String::from("quiet"));
        for worker in 0..self.workers.len() {
            if self.plan.fleet[worker].kind != Kind::Honest {
                self.leave(worker);
                self.workers[worker].crash();
            }
        }
    }
}
