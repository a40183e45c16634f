//! Checkpoints: the steps of `engine::checkpoint` one by one, and starts from what is there.

use engine::checkpoint::Step;
use engine::sabotage::Bug;
use engine::{Config, Engine, Master, State};
use protocol::Version;

use crate::disk::{Checkpoint, Row};
use crate::failure::{Check, ensure, fail};
use crate::plan::MILLISECOND;
use crate::plane::Job;
use crate::shell::Above;
use crate::training::{digest, digest_bytes, first_values};
use crate::world::{Due, World};

const TEMPORARY: &str = "checkpoint.tmp";

/// A checkpoint in the making.
#[derive(Debug)]
pub(crate) struct Storing {
    id: u64,
    name: String,
    content: Vec<u8>,
    state: State,
    rows: Vec<Row>,
    step: usize,
    /// Nothing comes after it.
    last: bool,
}

impl World {
    /// Takes a checkpoint if one is due and the engine is at a point for it.
    pub(crate) fn offer_checkpoint(&mut self) -> Check {
        let now = self.now;
        let Some(above) = &mut self.above else { return Ok(()) };
        if above.busy || above.checkpoint_at > now {
            return Ok(());
        }
        let Some(state) = above.engine.state() else {
            // A deterministic run that was stopped within a round ends with its last checkpoint.
            self.over = above.finished;
            return Ok(());
        };
        above.checkpoint_at = u64::MAX;
        above.busy = true;
        let (rows, last) = (std::mem::take(&mut above.rows), above.finished);
        self.checkpoints += 1;
        let id = self.checkpoints;
        self.model.keep(id, &state)?;
        self.log(|| format!("checkpoint {id} is asked for"));
        let (name, content) = (String::new(), Vec::new());
        let storing = Storing { id, name, content, state, rows, step: 0, last };
        self.queue_job(Job::Checkpoint(Box::new(storing)));
        Ok(())
    }

    /// The data plane has come to the place of a checkpoint: the master is the one that it is of.
    pub(crate) fn begin_storing(&mut self, mut storing: Storing) -> Check {
        let Some(above) = &mut self.above else { return Ok(()) };
        let master = &above.master;
        self.model.keep_parameters(storing.id, digest(master.values()));
        let values = master.values().iter().chain(master.momentum());
        storing.content = values.flat_map(|value| value.to_le_bytes()).collect();
        let Version { incarnation, number } = master.version();
        storing.name = format!("checkpoint-{incarnation}.{number}-{}", storing.id);
        above.storing = Some(storing);
        self.next_step();
        Ok(())
    }

    fn next_step(&mut self) {
        let time = self.dice.between(100, 50 * MILLISECOND);
        self.after(time, Due::Store(self.starts));
    }

    pub(crate) fn store_step(&mut self, start: u64) -> Check {
        let Some(above) = self.above.as_mut().filter(|_| start == self.starts) else {
            return Ok(());
        };
        let Some(storing) = &mut above.storing else { return Ok(()) };
        let place = storing.step;
        storing.step += 1;
        let mut steps = Step::ALL;
        if self.plan.bug == Some(Bug::LedgerAhead) {
            steps[1..5].rotate_right(1);
        }
        let disk = &mut self.disk;
        match steps[place] {
            Step::Write => disk.write(TEMPORARY, storing.content.clone()),
            Step::SyncFile => disk.sync_file(TEMPORARY),
            Step::Rename => disk.rename(TEMPORARY, &storing.name),
            Step::SyncFolder => disk.sync_folder(),
            Step::Commit => {
                disk.ledger.rows.append(&mut storing.rows);
                disk.ledger.checkpoints.push(Checkpoint {
                    name: storing.name.clone(),
                    digest: digest_bytes(storing.content.iter().copied()),
                    state: storing.state.clone(),
                    rows: disk.ledger.rows.len(),
                    model: storing.id,
                });
                let old = disk.ledger.checkpoints.len().saturating_sub(2);
                disk.ledger.checkpoints.drain(..old);
            }
            Step::DeleteOld => {
                for name in disk.list() {
                    let kept = disk.ledger.checkpoints.iter().any(|kept| kept.name == name);
                    if !kept {
                        disk.delete(&name);
                    }
                }
            }
        }
        let (id, step, last) = (storing.id, steps[place], storing.last);
        let more = place + 1 < steps.len();
        if !more {
            above.storing = None;
            above.busy = false;
            let every = self.plan.checkpoint_every;
            above.checkpoint_at = above.checkpoint_at.min(self.now + every);
        }
        self.log(|| format!("checkpoint {id}: {step:?}"));
        if self.plan.crash_at == Some((id - 1, place)) {
            self.crash_coordinator(MILLISECOND);
        } else if more {
            self.next_step();
        } else {
            self.over = last;
            return self.offer_checkpoint();
        }
        Ok(())
    }

    /// Starts the coordinator from the newest checkpoint that can be loaded.
    pub(crate) fn start(&mut self) -> Check {
        if self.above.is_some() {
            return Ok(());
        }
        self.starts += 1;
        // Before anything else: no name of this start was ever used before.
        self.disk.ledger.incarnation += 1;
        let incarnation = self.disk.ledger.incarnation;
        self.log(|| format!("start {incarnation}"));
        let mut found = None;
        while let Some(newest) = self.disk.ledger.checkpoints.last() {
            let content = self.disk.read(&newest.name);
            let good =
                content.filter(|content| digest_bytes(content.iter().copied()) == newest.digest);
            if let Some(content) = good {
                found = Some((newest.clone(), content.to_vec()));
                break;
            }
            let (name, rotten) = (newest.name.clone(), self.disk.rotten.contains(&newest.name));
            ensure!(rotten, "I5 checkpoints", "{name} is in the ledger and cannot be loaded");
            self.log(|| format!("{name} is rotten"));
            self.disk.ledger.checkpoints.pop();
            let left = !self.disk.ledger.checkpoints.is_empty();
            ensure!(left, "I5 checkpoints", "{name} has no one before it");
        }
        // What is after the checkpoint is lost: in the ledger too.
        let rows = found.as_ref().map_or(0, |(checkpoint, _)| checkpoint.rows);
        self.disk.ledger.rows.truncate(rows);
        let config = Config { incarnation, ..self.plan.config.clone() };
        let version = Version { incarnation, number: 0 };
        let (engine, master) = match &found {
            None => {
                let values = first_values(&self.table, self.plan.seed);
                (Engine::new(config).ok(), Master::new(&self.table, values, version).ok())
            }
            Some((checkpoint, content)) => {
                let mut values = floats(content);
                let momentum = values.split_off(self.table.elements());
                let master = Master::restore(&self.table, values, momentum, version);
                (Engine::restore(config, checkpoint.state.clone()).ok(), master.ok())
            }
        };
        let (Some(engine), Some(master)) = (engine, master) else {
            fail!("I6 restarts", "the checkpoint is refused");
        };
        #[cfg(feature = "sabotage")]
        let engine = sabotaged(engine, self.plan.bug);
        let digest = digest(master.values());
        let from = found.as_ref().map(|(checkpoint, _)| (checkpoint.model, &checkpoint.state));
        self.model.restarted(incarnation, from, &self.disk.ledger.rows, digest)?;
        let status = engine.status();
        let same = status.finished == self.model.finished;
        ensure!(same, "I6 restarts", "finished is {} after a restart", status.finished);
        self.over = status.finished;
        self.stopped = false;
        let checkpoint_at = self.now + self.plan.checkpoint_every;
        self.above = Some(Above::new(engine, master, digest, checkpoint_at));
        self.risen = self.now;
        Ok(())
    }
}

fn floats(content: &[u8]) -> Vec<f32> {
    content.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(feature = "sabotage")]
fn sabotaged(mut engine: Engine, bug: Option<Bug>) -> Engine {
    if let Some(bug) = bug {
        engine.sabotage(bug);
    }
    engine
}
