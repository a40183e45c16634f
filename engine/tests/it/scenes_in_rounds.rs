//! Single decisions, one scene each: synchronous mode.

use engine::{Action, Config, Event, Frequency, MergeOrder, Mode, RoundRule, Strategy, WorkerKey};
use protocol::{Lease, Outcome};

use crate::checker::config;
use crate::stage::{Stage, leases, outcome, snapshot};

const SECOND: u64 = 1_000_000;

fn rounds(workers: u32) -> Config {
    Config { mode: Mode::Synchronous, shards: vec![400], workers_min: workers, ..config() }
}

fn stage(config: Config, workers: u64) -> (Stage, Vec<Lease>) {
    let mut stage = Stage::new(config);
    (1..=workers).for_each(|worker| drop(stage.join(worker)));
    let held: Vec<Lease> = (1..=workers).filter_map(|worker| stage.request(worker)).collect();
    for (worker, lease) in (1..).zip(&held) {
        stage.pull(worker, lease, &[]);
    }
    (stage, held)
}

fn round(actions: &[Action]) -> Option<(f64, u64, RoundRule)> {
    actions.iter().find_map(|action| match action {
        Action::Merge { order: MergeOrder::Round { divisor, samples, rule, .. }, .. } => {
            Some((*divisor, *samples, *rule))
        }
        _ => None,
    })
}

const NESTEROV: RoundRule = RoundRule::Nesterov { rate: 0.7, momentum: 0.9 };

#[test]
fn a_round_ends_with_its_last_delta() {
    let (mut stage, held) = stage(rounds(2), 2);
    let first = stage.deliver(1, &held[0]);
    assert!(round(&first).is_none() && outcome(&first, held[0].id).is_none());
    let last = stage.deliver(2, &held[1]);
    assert_eq!(round(&last), Some((8.0, 8, NESTEROV)));
    for lease in &held {
        assert!(matches!(outcome(&last, lease.id), Some(Outcome::Merged(v)) if v.number == 1));
    }
}

#[test]
fn a_prefetched_lease_s_pull_waits_for_its_round() {
    let (mut stage, held) = stage(rounds(2), 2);
    let next = stage.request(1).unwrap();
    stage.deliver(1, &held[0]);
    assert!(snapshot(&stage.pull(1, &next, &[&held[0]])).is_none());
    let last = stage.deliver(2, &held[1]);
    assert_eq!(snapshot(&last), Some((1, vec![held[0].id])));
}

#[test]
fn a_pull_before_the_delivery_says_that_it_is_contained() {
    let (mut stage, held) = stage(rounds(2), 2);
    let next = stage.request(1).unwrap();
    assert!(snapshot(&stage.pull(1, &next, &[])).is_none());
    stage.deliver(1, &held[0]);
    let last = stage.deliver(2, &held[1]);
    assert_eq!(snapshot(&last), Some((1, vec![held[0].id])));
}

#[test]
fn one_worker_and_inner_momentum_get_the_plain_mean() {
    let (mut stage_of_one, held) = stage(rounds(1), 1);
    assert_eq!(round(&stage_of_one.deliver(1, &held[0])), Some((4.0, 4, RoundRule::Mean)));
    let (mut stage, held) = stage(Config { inner_momentum: true, ..rounds(2) }, 2);
    stage.deliver(1, &held[0]);
    assert_eq!(round(&stage.deliver(2, &held[1])).unwrap().2, RoundRule::Mean);
}

#[test]
fn stragglers_go_to_the_next_round_and_are_welcome_there() {
    let (mut stage, held) = stage(rounds(4), 4);
    stage.now = SECOND;
    for worker in 1..=3 {
        assert!(round(&stage.deliver(worker, &held[worker as usize - 1])).is_none());
    }
    let close = stage.engine.wake_at().unwrap();
    assert!(close.0 >= 3 * SECOND && close.0 < 10 * SECOND, "{close:?}");
    let actions = stage.tick(close.0);
    let (divisor, samples, _) = round(&actions).unwrap();
    assert_eq!((divisor, samples), (16.0, 12), "over what was planned");
    // The unit is open: the next one who asks gets it, in the running round.
    let again = stage.request(1).unwrap();
    assert_eq!(again.segments, held[3].segments);
    stage.pull(1, &again, &[]);
    let late = stage.deliver(4, &held[3]);
    let (_, samples, _) = round(&late).unwrap();
    assert_eq!(samples, 4, "counted into the running round");
    assert!(matches!(outcome(&late, held[3].id), Some(Outcome::Merged(v)) if v.number == 2));
    let copy = outcome(&stage.deliver(1, &again), again.id);
    assert_eq!(copy, Some(Outcome::Rejected(protocol::Reason::Duplicate)));
}

#[test]
fn a_quarter_of_the_samples_may_not_close_a_round() {
    let (mut stage, held) = stage(rounds(4), 4);
    stage.now = SECOND;
    stage.deliver(1, &held[0]);
    stage.deliver(2, &held[1]);
    let wake = stage.engine.wake_at().unwrap();
    assert!(wake.0 >= 10 * SECOND, "only the deadlines of leases: {wake:?}");
}

#[test]
fn a_short_last_round_is_divided_by_what_was_planned() {
    // Three batches in the epoch: with two workers the second round has one.
    let (mut stage, held) = stage(Config { shards: vec![12], epochs: 1, ..rounds(2) }, 2);
    let last = stage.request(1).unwrap();
    assert!(stage.request(2).is_none());
    stage.deliver(1, &held[0]);
    assert_eq!(round(&stage.deliver(2, &held[1])).unwrap().0, 8.0);
    let end = stage.work(1, &last, SECOND);
    assert_eq!(round(&end), Some((8.0, 4, NESTEROV)), "the idle worker counts");
    assert!(end.iter().any(|action| matches!(action, Action::Finished { .. })));
}

#[test]
fn an_epoch_is_complete_after_the_round_that_merges_its_last_sample() {
    let (mut stage, held) = stage(Config { shards: vec![8], ..rounds(2) }, 2);
    let first = stage.deliver(1, &held[0]);
    assert!(!first.iter().any(|action| matches!(action, Action::EpochComplete { .. })));
    let last = stage.deliver(2, &held[1]);
    let place = |wanted: fn(&Action) -> bool| last.iter().position(wanted).unwrap();
    let round = place(|a| matches!(a, Action::Merge { order: MergeOrder::Round { .. }, .. }));
    let mark = place(|a| matches!(a, Action::EpochComplete { epoch: 0, .. }));
    assert!(round < mark);
}

#[test]
fn a_round_whose_leases_are_all_lost_starts_again_from_the_same_version() {
    let (mut stage, _) = stage(rounds(1), 1);
    stage.join(2);
    let next = stage.request(1).unwrap();
    assert!(snapshot(&stage.pull(1, &next, &[])).is_none());
    let first = Event::LeaseReleased {
        worker: WorkerKey(1),
        lease: protocol::LeaseId { number: 1, ..next.id },
    };
    assert_eq!(snapshot(&stage.tell(first)), Some((0, vec![])));
}

#[test]
fn an_epoch_is_shared_by_speed_once_speeds_are_known() {
    let config = Config { frequency: Frequency::Epoch, ..rounds(2) };
    let (mut stage, held) = stage(config, 2);
    assert!(held.iter().all(|lease| lease.samples() < 60), "modest before speeds are known");
    assert!(stage.request(1).is_none(), "the next part is not known yet");
    stage.now += SECOND;
    stage.deliver(1, &held[0]);
    stage.now += 9 * SECOND;
    let fast = leases(&stage.deliver(2, &held[1])).pop().unwrap();
    let slow = stage.request(2).unwrap();
    let all = held.iter().map(Lease::samples).sum::<u64>() + fast.samples() + slow.samples();
    assert_eq!(all, 400, "the second round takes the rest");
    assert!(fast.samples() > 8 * slow.samples(), "{} {}", fast.samples(), slow.samples());
}

#[test]
fn sum_adds_the_raw_deltas_of_a_round() {
    let (mut stage, held) = stage(Config { strategy: Strategy::Sum, ..rounds(2) }, 2);
    let first = stage.deliver(1, &held[0]);
    assert!(first.iter().any(|action| matches!(
        action,
        Action::Merge { order: MergeOrder::Accumulate { weight, .. }, .. } if *weight == 1.0
    )));
    assert_eq!(round(&stage.deliver(2, &held[1])), Some((1.0, 8, RoundRule::Mean)));
}
