//! Connections that are lost, and workers that come back.

use engine::{Action, Config, End, Event, Mode, Timestamp, WorkerKey};
use protocol::{LeaseId, Outcome, Reason};

use crate::checker::config;
use crate::stage::{Stage, end, leases, outcome, snapshot};

const SECOND: u64 = 1_000_000;

fn lose(stage: &mut Stage, worker: u64) -> Vec<Action> {
    stage.tell(Event::WorkerDetached { worker: WorkerKey(worker) })
}

fn come_back(stage: &mut Stage, worker: u64, leases: &[LeaseId]) -> Vec<Action> {
    stage.tell(Event::WorkerReturned { worker: WorkerKey(worker), leases: leases.to_vec() })
}

#[test]
fn a_lost_worker_keeps_its_leases_and_gets_no_others() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let (training, next) = (stage.request(1).unwrap(), stage.request(1).unwrap());
    stage.pull(1, &training, &[]);
    // It has asked for one more, and its connection is lost before there is one.
    stage.request(1);
    assert!(stage.request(1).is_none());
    assert_eq!(lose(&mut stage, 1), []);
    stage.now += SECOND;
    assert_eq!(stage.tell(Event::Tick), []);
    let back = come_back(&mut stage, 1, &[training.id, next.id]);
    assert!(outcome(&back, training.id).is_none(), "it still stands: {back:?}");
    stage.now += SECOND;
    let merged = outcome(&stage.deliver(1, &training), training.id);
    assert!(matches!(merged, Some(Outcome::Merged(_))));
    assert!(snapshot(&stage.pull(1, &next, &[&training])).is_some());
}

#[test]
fn what_a_worker_has_let_go_of_is_free() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let (kept, dropped) = (stage.request(1).unwrap(), stage.request(1).unwrap());
    lose(&mut stage, 1);
    let back = come_back(&mut stage, 1, &[kept.id]);
    assert_eq!((end(&back, dropped.id), end(&back, kept.id)), (Some(End::Released), None));
    assert_eq!(stage.request(1).unwrap().segments, dropped.segments);
    assert_eq!(stage.engine.status().totals.released, 1);
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let lease = stage.request(1).unwrap();
    stage.pull(1, &lease, &[]);
    stage.now = SECOND;
    let merged = outcome(&stage.deliver(1, &lease), lease.id);
    lose(&mut stage, 1);
    let back = come_back(&mut stage, 1, &[lease.id]);
    assert_eq!(outcome(&back, lease.id), merged);
    assert_eq!(stage.engine.status().version.number, 1, "and is not merged again");
    let stranger = LeaseId { number: 999, ..lease.id };
    let back = come_back(&mut stage, 1, &[stranger]);
    assert_eq!(outcome(&back, stranger), Some(Outcome::Rejected(Reason::UnknownLease)));
}

#[test]
fn others_copy_at_once_what_a_lost_worker_holds() {
    let mut stage = Stage::new(Config { shards: vec![4], epochs: 1, ..config() });
    stage.join(1);
    stage.join(2);
    let lost = stage.request(1).unwrap();
    assert!(stage.request(2).is_none(), "the worker has only just begun");
    let copy = leases(&lose(&mut stage, 1)).pop().unwrap();
    assert_eq!(copy.segments, lost.segments);
    // The first delta counts, whoever comes back.
    stage.work(2, &copy, SECOND);
    assert!(stage.engine.status().finished);
}

#[test]
fn a_grace_lasts_no_longer_than_the_leases() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let worker = WorkerKey(1);
    assert_eq!(stage.engine.leases_until(worker), None, "nothing to wait for");
    let lease = stage.request(1).unwrap();
    assert_eq!(stage.engine.leases_until(worker), stage.engine.wake_at());
    stage.request(1);
    let prefetched = stage.engine.leases_until(worker);
    assert_eq!(prefetched, Some(Timestamp(u64::MAX)), "its clock does not run yet");
    stage.pull(1, &lease, &[]);
    stage.now = SECOND;
    stage.tell(Event::WorkerLeft { worker });
    assert_eq!(stage.engine.leases_until(worker), None);
}

#[test]
fn a_pull_that_waits_for_its_round_is_asked_again() {
    let mut stage = Stage::new(Config {
        mode: Mode::Synchronous,
        shards: vec![400],
        workers_min: 2,
        ..config()
    });
    stage.join(1);
    stage.join(2);
    let held = [stage.request(1).unwrap(), stage.request(2).unwrap()];
    let next = stage.request(1).unwrap();
    stage.pull(1, &held[0], &[]);
    stage.pull(2, &held[1], &[]);
    stage.now = SECOND;
    stage.deliver(1, &held[0]);
    assert!(snapshot(&stage.pull(1, &next, &[&held[0]])).is_none(), "it waits");
    lose(&mut stage, 1);
    let last = stage.deliver(2, &held[1]);
    assert_eq!(snapshot(&last), None, "nobody would get it");
    come_back(&mut stage, 1, &[next.id]);
    assert_eq!(snapshot(&stage.pull(1, &next, &[&held[0]])), Some((1, vec![held[0].id])));
}
