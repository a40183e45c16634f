//! Single decisions, one scene each: asynchronous mode.

use engine::{Action, Config, Event, Frequency, MergeOrder, Strategy, Timestamp, WorkerKey};
use protocol::{Lease, Outcome, Reason, Version};

use crate::checker::config;
use crate::stage::{Stage, leases, outcome, snapshot};

const SECOND: u64 = 1_000_000;

fn spread(actions: &[Action]) -> (f64, u64) {
    let order = actions.iter().find_map(|action| match action {
        Action::Merge { order: MergeOrder::Spread { in_flight, staleness, .. }, .. } => {
            Some((*in_flight, *staleness))
        }
        _ => None,
    });
    order.unwrap()
}

#[test]
fn no_lease_before_enough_workers_have_joined() {
    let mut stage = Stage::new(Config { workers_min: 2, ..config() });
    stage.join(1);
    assert_eq!(stage.request(1), None);
    let actions = stage.join(2);
    assert_eq!(leases(&actions).len(), 1, "the request was remembered");
    stage.tell(Event::WorkerLeft { worker: WorkerKey(2) });
    assert!(stage.request(1).is_some(), "once reached it stays reached");
}

#[test]
fn a_worker_holds_at_most_three_leases_and_gets_the_next_on_delivery() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let first = stage.request(1).unwrap();
    assert!(stage.request(1).is_some() && stage.request(1).is_some());
    assert_eq!(stage.request(1), None);
    let actions = stage.work(1, &first, SECOND);
    assert_eq!(leases(&actions).len(), 1);
}

#[test]
fn staleness_leaves_out_the_worker_s_own_deltas() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.join(2);
    let (a, b, other) =
        (stage.request(1).unwrap(), stage.request(1).unwrap(), stage.request(2).unwrap());
    stage.pull(1, &a, &[]);
    stage.pull(2, &other, &[]);
    // Late pull: a is not delivered yet, so the worker will add it itself.
    assert_eq!(snapshot(&stage.pull(1, &b, &[&a])), Some((0, vec![])));
    stage.now += SECOND;
    assert_eq!(spread(&stage.deliver(1, &a)).1, 0);
    assert_eq!(spread(&stage.deliver(1, &b)).1, 0, "its own merge is no staleness");
    assert_eq!(spread(&stage.deliver(2, &other)).1, 2);
}

#[test]
fn a_snapshot_says_which_pending_deltas_it_contains() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let (a, b, c) =
        (stage.request(1).unwrap(), stage.request(1).unwrap(), stage.request(1).unwrap());
    stage.work(1, &a, SECOND);
    let (version, contains) = snapshot(&stage.pull(1, &b, &[&a, &c])).unwrap();
    assert_eq!((version, contains), (1, vec![a.id]));
}

#[test]
fn in_flight_counts_workers_in_training_by_their_speed() {
    let mut stage = Stage::new(Config { shards: vec![1000], ..config() });
    for worker in 1..=4 {
        stage.join(worker);
        stage.request(worker);
        stage.request(worker);
    }
    assert_eq!(stage.engine.status().in_flight, 4.0, "prefetched leases do not count");
    let mut stage = Stage::new(Config { shards: vec![1000], ..config() });
    stage.join(1);
    stage.join(2);
    for _ in 0..4 {
        let (fast, slow) = (stage.request(1).unwrap(), stage.request(2).unwrap());
        stage.pull(1, &fast, &[]);
        stage.pull(2, &slow, &[]);
        stage.now += SECOND;
        stage.deliver(1, &fast);
        stage.now += 9 * SECOND;
        stage.deliver(2, &slow);
    }
    stage.request(1);
    stage.request(2);
    let in_flight = stage.engine.status().in_flight;
    assert!((1.1..1.2).contains(&in_flight), "{in_flight}");
}

#[test]
fn an_expired_unit_is_leased_again_and_the_first_delta_wins() {
    for late_wins in [true, false] {
        let mut stage = Stage::new(Config { shards: vec![4], epochs: 1, ..config() });
        stage.join(1);
        stage.join(2);
        let late = stage.request(1).unwrap();
        stage.pull(1, &late, &[]);
        let wake = stage.engine.wake_at().unwrap();
        assert!(wake.0 >= 10 * SECOND, "a generous floor");
        let mut again = leases(&stage.tick(wake.0));
        again.extend(stage.request(2));
        let again = again.pop().unwrap();
        assert_eq!(again.segments, late.segments);
        assert_eq!(stage.engine.status().totals.expired, 1);
        stage.pull(2, &again, &[]);
        let (first, worker) = if late_wins { (&late, 1) } else { (&again, 2) };
        let actions = stage.deliver(worker, first);
        let version = Version { incarnation: 3, number: 1 };
        assert_eq!(outcome(&actions, first.id), Some(Outcome::Merged(version)));
        assert!(actions.iter().any(|action| matches!(action, Action::Finished { .. })));
        let (second, worker) = if late_wins { (&again, 2) } else { (&late, 1) };
        let refused = outcome(&stage.deliver(worker, second), second.id);
        assert_eq!(refused, Some(Outcome::Rejected(Reason::Ended)));
    }
}

#[test]
fn progress_extends_a_deadline_and_talk_does_not() {
    let mut stage = Stage::new(Config { frequency: Frequency::Steps(2), ..config() });
    stage.join(1);
    let lease = stage.request(1).unwrap();
    stage.pull(1, &lease, &[]);
    let first = stage.engine.wake_at().unwrap();
    stage.now = first.0 - 1;
    let progress = Event::Progress { worker: WorkerKey(1), lease: lease.id, steps: 1 };
    stage.tell(progress.clone());
    let second = stage.engine.wake_at().unwrap();
    assert!(second.0 >= first.0 + 9 * SECOND);
    stage.now = second.0 - 1;
    stage.tell(progress);
    stage.tell(Event::Progress { worker: WorkerKey(1), lease: lease.id, steps: 99 });
    assert_eq!(stage.engine.wake_at(), Some(second));
}

#[test]
fn the_clock_of_a_prefetched_lease_starts_when_its_predecessor_ends() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let first = stage.request(1).unwrap();
    let next = stage.request(1).unwrap();
    stage.pull(1, &first, &[]);
    stage.now = 30 * SECOND;
    stage.deliver(1, &first);
    stage.pull(1, &next, &[]);
    let wake = stage.engine.wake_at().unwrap();
    assert!(wake.0 >= 40 * SECOND, "{wake:?}");
}

#[test]
fn a_lost_worker_s_rows_are_cut_anew() {
    let mut stage = Stage::new(Config { frequency: Frequency::Epoch, ..config() });
    stage.join(1);
    let whole = stage.request(1).unwrap();
    assert_eq!(whole.samples(), 30, "alone: the whole epoch");
    stage.join(2);
    stage.tell(Event::WorkerLeft { worker: WorkerKey(1) });
    stage.join(3);
    let part = stage.request(2).unwrap();
    assert!(part.epoch == 0 && part.samples() < 30, "{part:?}");
    assert_eq!(stage.engine.status().totals.released, 1);
}

#[test]
fn what_was_delivered_before_a_worker_left_is_merged() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let lease = stage.request(1).unwrap();
    stage.pull(1, &lease, &[]);
    let now = Timestamp(SECOND);
    let worker = WorkerKey(1);
    let screen = stage.engine.handle(now, Event::DeltaReceived { worker, lease: lease.id });
    assert_eq!(screen[0], Action::Screen { lease: lease.id });
    stage.engine.handle(now, Event::WorkerLeft { worker });
    let screened =
        Event::DeltaScreened { lease: lease.id, finite: true, length_ok: true, norm: 1.0 };
    let merge = stage.engine.handle(now, screened);
    assert!(matches!(merge[..], [Action::LeaseEnded { .. }, Action::Merge { .. }]), "{merge:?}");
    assert_eq!(stage.engine.status().merged_samples, lease.samples());
}

#[test]
fn idle_workers_copy_what_a_slow_one_holds_and_the_copy_wins() {
    let mut stage = Stage::new(Config { shards: vec![40], epochs: 1, ..config() });
    stage.join(1);
    stage.join(2);
    let slow = stage.request(2).unwrap();
    stage.pull(2, &slow, &[]);
    let mut ended = Vec::new();
    for _ in 0..9 {
        let lease = stage.request(1).unwrap();
        ended = stage.work(1, &lease, SECOND);
    }
    assert!(!ended.iter().any(|action| matches!(action, Action::Finished { .. })));
    let copy = stage.request(1).unwrap();
    assert_eq!(copy.segments, slow.segments);
    assert_eq!((copy.seed, copy.id != slow.id), (slow.seed, true), "the same noise");
    let actions = stage.work(1, &copy, SECOND);
    assert!(actions.iter().any(|action| matches!(action, Action::Finished { .. })));
    let totals = stage.engine.status().totals;
    assert_eq!((totals.backup, totals.units, totals.samples), (1, 10, 40));
}

#[test]
fn a_fast_worker_s_last_lease_is_not_copied_by_a_slow_one_before_it_is_late() {
    let mut stage = Stage::new(Config { shards: vec![80], epochs: 1, ..config() });
    stage.join(1);
    stage.join(2);
    let slow = stage.request(2).unwrap();
    stage.work(2, &slow, 20 * SECOND);
    for _ in 0..18 {
        let lease = stage.request(1).unwrap();
        stage.work(1, &lease, SECOND);
    }
    let last = stage.request(1).unwrap();
    stage.pull(1, &last, &[]);
    assert_eq!(stage.request(2), None);
    let wake = stage.engine.wake_at().unwrap();
    assert!(wake.0 > stage.now + SECOND && wake.0 < stage.now + 5 * SECOND, "{wake:?}");
    assert_eq!(leases(&stage.tick(wake.0))[0].segments, last.segments);
}

#[test]
fn refused_work_goes_to_others_and_is_dropped_in_the_end() {
    let mut stage = Stage::new(Config { shards: vec![4], epochs: 1, ..config() });
    stage.finite = false;
    stage.join(1);
    stage.join(2);
    let lease = stage.request(1).unwrap();
    let actions = stage.work(1, &lease, SECOND);
    assert_eq!(outcome(&actions, lease.id), Some(Outcome::Rejected(Reason::NotFinite)));
    assert_eq!(stage.request(1), None, "the other one should try");
    let mut actions = Vec::new();
    for _ in 0..3 {
        let lease = stage.request(2).unwrap();
        actions = stage.work(2, &lease, SECOND);
        // Whoever waits gets it, now that both have failed.
        for lease in leases(&actions) {
            actions = stage.work(1, &lease, SECOND);
        }
        if actions.iter().any(|action| matches!(action, Action::Finished { .. })) {
            break;
        }
    }
    assert!(actions.iter().any(|action| matches!(action, Action::Finished { .. })), "{actions:?}");
    let totals = stage.engine.status().totals;
    assert_eq!((totals.samples, totals.dropped.get(&Reason::NotFinite)), (0, Some(&4)));
}

#[test]
fn large_deltas_are_clipped_and_huge_ones_refused() {
    let mut stage = Stage::new(Config { shards: vec![1000], ..config() });
    stage.join(1);
    for _ in 0..20 {
        let lease = stage.request(1).unwrap();
        stage.work(1, &lease, SECOND);
    }
    stage.norm = 6.0;
    let lease = stage.request(1).unwrap();
    let clip = stage.work(1, &lease, SECOND).iter().find_map(|action| match action {
        Action::Merge { order: MergeOrder::Spread { clip, .. }, .. } => Some(*clip),
        _ => None,
    });
    assert_eq!(clip, Some(0.5));
    stage.norm = 11.0;
    let lease = stage.request(1).unwrap();
    let refused = outcome(&stage.work(1, &lease, SECOND), lease.id);
    assert_eq!(refused, Some(Outcome::Rejected(Reason::Norm)));
    let again = stage.request(1).unwrap();
    assert_eq!(again.segments, lease.segments, "alone it tries again");
}

#[test]
fn strangers_and_repeats_change_nothing() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.join(2);
    let lease = stage.request(1).unwrap();
    let unknown = Some(Outcome::Rejected(Reason::UnknownLease));
    assert_eq!(outcome(&stage.deliver(2, &lease), lease.id), unknown);
    assert_eq!(outcome(&stage.pull(2, &lease, &[]), lease.id), unknown);
    let merged = outcome(&stage.work(1, &lease, SECOND), lease.id).unwrap();
    assert!(matches!(merged, Outcome::Merged(_)));
    assert_eq!(outcome(&stage.deliver(1, &lease), lease.id), Some(merged), "the same answer");
    assert_eq!(stage.engine.status().version.number, 1);
}

#[test]
fn partitions_smaller_than_a_batch_are_trained() {
    for shards in [vec![1], vec![3], vec![1, 1, 1]] {
        let mut stage = Stage::new(Config { shards, batch_size: 64, epochs: 2, ..config() });
        stage.join(1);
        let mut finished = false;
        for _ in 0..2 {
            let lease = stage.request(1).unwrap();
            let actions = stage.work(1, &lease, SECOND);
            finished = actions.iter().any(|action| matches!(action, Action::Finished { .. }));
        }
        assert!(finished);
    }
}

#[test]
fn staleness_and_sum_weigh_as_documented() {
    let weight = |strategy| {
        let mut stage = Stage::new(Config { strategy, shards: vec![1000], ..config() });
        for worker in 1..=4 {
            stage.join(worker);
        }
        let held: Vec<Lease> = (1..=4).filter_map(|worker| stage.request(worker)).collect();
        for (lease, worker) in held.iter().zip(1..) {
            stage.pull(worker, lease, &[]);
        }
        let mut weights = Vec::new();
        for (lease, worker) in held.iter().zip(1..) {
            stage.now += 1;
            for action in stage.deliver(worker, lease) {
                if let Action::Merge { order: MergeOrder::Add { weight, .. }, .. } = action {
                    weights.push(weight);
                }
            }
        }
        weights
    };
    let plain = Strategy::Staleness { exponent: 1.0, plain: true };
    assert_eq!(weight(plain), [1.0, 0.5, 1.0 / 3.0, 0.25]);
    assert_eq!(weight(Strategy::Sum), [1.0; 4]);
    // N falls as workers without a next lease go idle, and staleness takes its place.
    let weights = weight(Strategy::STALENESS);
    assert_eq!((weights[0], weights[3]), (0.25, 0.25));
}

#[test]
fn the_learning_rate_follows_the_progress_of_the_run() {
    let cosine = |part: f64| 0.05 + 0.05 * (std::f64::consts::PI * part).cos();
    for (word, expected) in [
        ("constant", [0.1; 4]),
        ("step=0.5,0.1", [0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1]),
        ("cosine", [0.1, cosine(0.25), cosine(0.5), cosine(0.75)]),
        ("warmup=0.5", [0.1 * 0.01, 0.1 * 0.5, 0.1, 0.1]),
        ("warmup=0.5+cosine", [0.1 * 0.01, 0.1 * 0.5, 0.1, cosine(0.5)]),
    ] {
        let schedule = word.parse().unwrap();
        let mut stage = Stage::new(Config { shards: vec![8], epochs: 2, schedule, ..config() });
        stage.join(1);
        for rate in expected {
            let lease = stage.request(1).unwrap();
            assert!((lease.learning_rate - rate).abs() < 1e-12, "{word}: {rate} {lease:?}");
            stage.work(1, &lease, SECOND);
        }
    }
}
