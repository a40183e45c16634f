//! Deterministic rounds: the master does not tell who trained what, or when it came.

use std::collections::BTreeMap;

use engine::{Action, Config, Event, Master, MergeOrder, Mode, WorkerKey};
use protocol::{Lease, LeaseId, Outcome, Reason, Role, TensorInfo, TensorTable, Version};

use crate::checker::config;
use crate::stage::{Stage, leases, outcome};

const SECOND: u64 = 1_000_000;

fn rounds(workers_min: u32) -> Config {
    let mode = Mode::Synchronous;
    Config { mode, deterministic: true, shards: vec![5, 9, 4], workers_min, ..config() }
}

/// A delta of rows alone, with rounding that depends on the order of a sum.
fn delta(lease: &Lease) -> Vec<f32> {
    let noise = |bits: u64| (bits >> 40) as f32 / 3e5 + 0.1;
    vec![noise(lease.seed), noise(lease.seed.rotate_left(17))]
}

/// Runs to the end with workers that deliver in an order of `seed`; some are lost.
fn master_of(config: Config, workers: u64, seed: u64) -> Vec<f32> {
    let info = TensorInfo { name: "w".into(), shape: vec![2], role: Role::Parameter };
    let version = Version { incarnation: 3, number: 0 };
    let table = TensorTable { tensors: vec![info] };
    let mut master = Master::new(&table, vec![0.3, -0.7], version).unwrap();
    let mut stage = Stage::new(config);
    let mut held: Vec<(u64, Lease)> = Vec::new();
    let mut known: BTreeMap<LeaseId, Lease> = BTreeMap::new();
    let mut number = seed;
    let mut names: Vec<u64> = (1..=workers).collect();
    let mut actions: Vec<Action> = names.iter().flat_map(|worker| stage.join(*worker)).collect();
    for _ in 0..10_000 {
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Lease { worker, lease } => {
                    known.insert(lease.id, lease.clone());
                    held.push((worker.0, lease));
                }
                Action::Merge { lease, order } => {
                    let delta = lease.map(|lease| delta(&known[&lease])).unwrap_or_default();
                    master.apply(&order, &delta);
                }
                Action::Finished { .. } => return master.values().to_vec(),
                _ => {}
            }
        }
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        let pick = (number >> 33) as usize;
        stage.now += SECOND;
        if pick.is_multiple_of(5) || held.is_empty() {
            let worker = WorkerKey(names[pick % names.len()]);
            actions = stage.tell(Event::LeaseRequested { worker });
        } else if pick % 11 == 1 {
            let worker = names.remove(pick % names.len());
            held.retain(|(holder, _)| *holder != worker);
            actions = stage.tell(Event::WorkerLeft { worker: WorkerKey(worker) });
            names.push(stage.now);
            actions.extend(stage.join(stage.now));
        } else {
            let (worker, lease) = held.remove(pick % held.len());
            actions = stage.pull(worker, &lease, &[]);
            actions.extend(stage.deliver(worker, &lease));
        }
    }
    panic!("the run does not end");
}

#[test]
fn orders_of_arrival_and_losses_leave_no_trace() {
    for workers in 1..=4 {
        let first = master_of(rounds(3.min(workers)), u64::from(workers), 1);
        for seed in 2..40 {
            assert_eq!(master_of(rounds(3.min(workers)), u64::from(workers), seed), first);
        }
    }
    let few = master_of(rounds(2), 2, 5);
    assert_eq!(master_of(rounds(2), 6, 5), few, "more workers than a round has units");
    assert_ne!(master_of(rounds(3), 6, 5), few, "other rounds are another run");
}

#[test]
fn a_lost_unit_is_leased_again_as_it_was_cut() {
    let mut stage = Stage::new(rounds(2));
    (1..=3).for_each(|worker| drop(stage.join(worker)));
    let (lost, other) = (stage.request(1).unwrap(), stage.request(2).unwrap());
    assert!(stage.request(3).is_none(), "the round is cut");
    let left = stage.tell(Event::WorkerLeft { worker: WorkerKey(1) });
    let again = leases(&left).pop().unwrap();
    assert_eq!((&again.segments, again.seed), (&lost.segments, lost.seed));
    assert_eq!(again.learning_rate, lost.learning_rate);
    // The second unit arrives first, and is added second.
    stage.work(2, &other, SECOND);
    let last = stage.work(3, &again, SECOND);
    let orders: Vec<_> = last
        .iter()
        .filter_map(|action| match action {
            Action::Merge { lease: Some(lease), order: MergeOrder::Accumulate { .. } } => {
                Some(*lease)
            }
            _ => None,
        })
        .collect();
    assert_eq!(orders, [again.id, other.id]);
}

#[test]
fn a_restart_cuts_the_same_units() {
    let config = Config { shards: vec![5, 9, 14], ..rounds(2) };
    let mut stage = Stage::new(config.clone());
    (1..=2).for_each(|worker| drop(stage.join(worker)));
    for _ in 0..2 {
        let held = [stage.request(1).unwrap(), stage.request(2).unwrap()];
        (1..).zip(&held).for_each(|(worker, lease)| drop(stage.work(worker, lease, SECOND)));
    }
    // Within the third round nothing has arrived yet.
    let before = [stage.request(2).unwrap(), stage.request(1).unwrap()];
    let mut again = stage.restart(config);
    (3..=4).for_each(|worker| drop(again.join(worker)));
    let after = [again.request(4).unwrap(), again.request(3).unwrap()];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.segments, before.seed), (&after.segments, after.seed));
        assert_eq!(before.learning_rate, after.learning_rate);
    }
}

/// The simulation's seeds 39 and 1834 of deterministic: the only lease of an epoch's short last round
/// was lost, the round forgot its epoch, and the next worker got a unit of the next epoch in it.
#[test]
fn a_short_round_whose_lease_is_lost_takes_nothing_of_the_next_epoch() {
    let mut stage = Stage::new(Config { shards: vec![12], ..rounds(2) });
    (1..=3).for_each(|worker| drop(stage.join(worker)));
    let held = [stage.request(1).unwrap(), stage.request(2).unwrap()];
    (1..).zip(&held).for_each(|(worker, lease)| drop(stage.work(worker, lease, SECOND)));
    let last = stage.request(1).unwrap();
    assert_eq!((last.epoch, last.samples()), (0, 4));
    stage.tell(Event::WorkerLeft { worker: WorkerKey(1) });
    let again = stage.request(2).unwrap();
    assert_eq!(again.segments, last.segments);
    assert_eq!(stage.request(3), None, "the round is whole");
    let end = stage.work(2, &again, SECOND);
    assert!(end.iter().any(|action| matches!(action, Action::EpochComplete { epoch: 0, .. })));
    assert!(leases(&end).iter().all(|lease| lease.epoch == 1), "and now it is");
}

#[test]
fn only_absurd_norms_are_refused() {
    let mut stage = Stage::new(Config { shards: vec![1000], ..rounds(1) });
    stage.join(1);
    for number in 0..30 {
        let lease = stage.request(1).unwrap();
        stage.norm = if number == 29 { 1e9 } else { 1.0 };
        let merged = outcome(&stage.work(1, &lease, SECOND), lease.id);
        assert!(
            matches!(merged, Some(Outcome::Merged(_))),
            "what is usual depends on who was first"
        );
    }
    stage.norm = 1e13;
    let lease = stage.request(1).unwrap();
    let refused = outcome(&stage.work(1, &lease, SECOND), lease.id);
    assert_eq!(refused, Some(Outcome::Rejected(Reason::Norm)));
}
