//! What whoever controls a run does: pauses, and other learning rates.

use engine::{Config, Event, Frequency, Mode, Schedule, WorkerKey};
use protocol::{Lease, Segment};

use crate::checker::config;
use crate::stage::{Stage, leases};

const SECOND: u64 = 1_000_000;

fn rows_of(lease: &Lease) -> Vec<(u32, u32)> {
    let rows = |s: &Segment| {
        let shard = s.shard;
        (s.start..s.start + s.count).map(move |row| (shard, row))
    };
    lease.segments.iter().flat_map(rows).collect()
}

#[test]
fn in_a_pause_what_is_out_is_merged_and_nothing_is_given() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let out = stage.request(1).unwrap();
    stage.tell(Event::Pause);
    stage.join(2);
    assert_eq!(stage.request(2), None);
    stage.work(1, &out, SECOND);
    let status = stage.engine.status();
    assert_eq!((status.paused, status.merged_samples), (true, 4));
    assert!(stage.engine.state().is_some(), "a paused run can be kept");
    assert_eq!(stage.request(1), None);
    assert_eq!(leases(&stage.tick(3600 * SECOND)), []);
    assert_eq!(stage.engine.wake_at(), None, "nothing is to be done");
    let given = leases(&stage.tell(Event::Resume));
    assert_eq!(given.len(), 2, "both have asked");
    assert_eq!(leases(&stage.tell(Event::Resume)), [], "it goes on already");
}

#[test]
fn a_lease_that_is_lost_in_a_pause_is_given_again_after_it() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.join(2);
    let mut rows = rows_of(&stage.request(1).unwrap());
    stage.tell(Event::Pause);
    assert_eq!(stage.request(2), None);
    assert_eq!(leases(&stage.tell(Event::WorkerLeft { worker: WorkerKey(1) })), []);
    let mut next = leases(&stage.tell(Event::Resume)).pop();
    while let Some(lease) = next.filter(|lease| lease.epoch == 0) {
        let again = rows_of(&lease);
        rows.retain(|row| !again.contains(row));
        stage.work(2, &lease, SECOND);
        next = stage.request(2);
    }
    assert_eq!(rows, [], "they are trained after all");
}

#[test]
fn a_paused_run_can_be_stopped_and_a_start_is_no_pause() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.tell(Event::Pause);
    let mut again = stage.restart(config());
    again.join(1);
    assert!(again.request(1).is_some());
    stage.tell(Event::Stop);
    let status = stage.engine.status();
    assert_eq!((status.paused, status.finished), (false, true));
    stage.tell(Event::Pause);
    assert!(!stage.engine.status().paused, "nothing is left to pause");
}

#[test]
fn a_deterministic_run_finishes_its_round_before_it_pauses() {
    let mode = Mode::Synchronous;
    let mut stage = Stage::new(Config { mode, deterministic: true, workers_min: 2, ..config() });
    stage.join(1);
    stage.join(2);
    let first = stage.request(1).unwrap();
    stage.work(1, &first, SECOND);
    stage.tell(Event::Pause);
    assert!(stage.engine.is_mid_round());
    let second = stage.request(2).expect("the round needs it");
    stage.work(2, &second, SECOND);
    assert!(!stage.engine.is_mid_round() && stage.engine.state().is_some());
    assert_eq!((stage.request(1), stage.request(2)), (None, None));
    assert_eq!(leases(&stage.tell(Event::Resume)).len(), 2);
}

#[test]
fn another_learning_rate_holds_from_the_next_lease_on_and_through_restarts() {
    let schedule: Schedule = "step=0.5,0.1".parse().unwrap();
    let config = Config { frequency: Frequency::Steps(2), schedule, ..config() };
    let mut stage = Stage::new(config.clone());
    stage.join(1);
    let first = stage.request(1).unwrap();
    assert_eq!(first.learning_rate, 0.1);
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        stage.tell(Event::LearningRate { rate: wrong });
        assert_eq!(stage.engine.status().base_rate, 0.1);
    }
    stage.tell(Event::LearningRate { rate: 0.02 });
    let second = stage.request(1).unwrap();
    assert_eq!(second.learning_rate, 0.02);
    stage.work(1, &first, SECOND);
    stage.work(1, &second, SECOND);
    let mut again = stage.restart(config);
    assert_eq!(again.engine.status().base_rate, 0.02);
    again.join(1);
    let mut rates = Vec::new();
    while let Some(lease) = again.request(1) {
        rates.push(lease.learning_rate);
        again.work(1, &lease, SECOND);
    }
    assert_eq!((rates[0], *rates.last().unwrap()), (0.02, 0.02 * 0.1), "the schedule goes on");
}
