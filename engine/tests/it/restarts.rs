//! What a checkpoint holds, what a run goes on with, and what is counted on the way.

use engine::{Config, End, Engine, Event, Mode, RestoreError, WorkerKey};
use protocol::{Outcome, Reason};

use crate::checker::config;
use crate::stage::{Stage, end, leases, outcome};

const SECOND: u64 = 1_000_000;

#[test]
fn a_state_is_the_same_after_json() {
    let mut stage = Stage::new(Config { shards: vec![400], ..config() });
    stage.join(1);
    for number in 0..40 {
        let lease = stage.request(1).unwrap();
        stage.norm = 1.0 + f64::from(number) / 7.0;
        stage.finite = number % 9 != 8;
        stage.work(1, &lease, SECOND);
    }
    let state = stage.engine.state().unwrap();
    assert_eq!((state.merges(), state.counts().0.rejected[&Reason::NotFinite]), (36, 4));
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<engine::State>(&text).unwrap(), state);
    let again = stage.restart(Config { shards: vec![400], ..config() });
    assert_eq!(again.engine.state().unwrap(), state, "nothing was under way");
}

#[test]
fn what_was_under_way_is_free_again_and_counts_as_lost() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.join(2);
    let done = stage.request(1).unwrap();
    stage.work(1, &done, SECOND);
    let lost = [stage.request(1).unwrap(), stage.request(2).unwrap()];
    assert_eq!(stage.engine.status().totals.released, 0);
    let mut again = stage.restart(config());
    let status = again.engine.status();
    assert_eq!((status.merges, status.merged_samples, status.version.number), (1, 4, 0));
    assert_eq!((status.totals.released, status.totals.re_leased), (2, 8));
    again.join(3);
    let mut rows = vec![done.segments];
    while let Some(lease) = again.request(3).filter(|lease| lease.epoch == 0) {
        assert_eq!(lease.id.incarnation, 4);
        rows.push(lease.segments.clone());
        again.work(3, &lease, SECOND);
    }
    let rows: Vec<_> = rows
        .iter()
        .flatten()
        .flat_map(|s| (s.start..s.start + s.count).map(|r| (s.shard, r)))
        .collect();
    assert!(
        lost.iter().flat_map(|lease| &lease.segments).all(|s| rows.contains(&(s.shard, s.start)))
    );
    let different: std::collections::BTreeSet<_> = rows.iter().collect();
    assert_eq!((rows.len(), different.len()), (30, 30), "each row once");
}

#[test]
fn leases_of_an_earlier_start_are_fenced() {
    let mut stage = Stage::new(config());
    stage.join(1);
    let old = stage.request(1).unwrap();
    stage.pull(1, &old, &[]);
    let mut again = stage.restart(config());
    again.join(2);
    let fenced = Some(Outcome::Rejected(Reason::Fenced));
    let named = Event::WorkerReturned { worker: WorkerKey(2), leases: vec![old.id] };
    assert_eq!(outcome(&again.tell(named), old.id), fenced);
    assert_eq!(outcome(&again.deliver(2, &old), old.id), fenced);
    assert_eq!(outcome(&again.pull(2, &old, &[]), old.id), fenced);
    let new = again.request(2).unwrap();
    let contains = crate::stage::snapshot(&again.pull(2, &new, &[&old])).unwrap().1;
    assert_eq!(contains, [old.id], "in the master or lost: to be forgotten");
}

/// The simulation's seed 76 of checkpoint-crash: the machine failed between the commit of the last
/// checkpoint and the end of the program, and the run that went on waited for samples for ever.
#[test]
fn a_run_that_was_over_is_over_after_a_restart() {
    let mut stage = Stage::new(Config { shards: vec![4], epochs: 1, ..config() });
    stage.join(1);
    let lease = stage.request(1).unwrap();
    stage.work(1, &lease, SECOND);
    assert!(stage.engine.status().finished);
    let mut again = stage.restart(Config { shards: vec![4], epochs: 1, ..config() });
    assert!(again.engine.status().finished);
    again.join(2);
    assert!(again.request(2).is_none() && again.engine.wake_at().is_none());
}

#[test]
fn within_a_round_there_is_no_state() {
    let mut stage = Stage::new(Config { mode: Mode::Synchronous, workers_min: 2, ..config() });
    stage.join(1);
    stage.join(2);
    let (first, second) = (stage.request(1).unwrap(), stage.request(2).unwrap());
    assert!(stage.engine.state().is_some());
    stage.work(1, &first, SECOND);
    assert!(stage.engine.state().is_none(), "accumulated and not in the master");
    stage.work(2, &second, SECOND);
    assert_eq!(stage.engine.state().unwrap().merged_samples(), 8);
}

#[test]
fn a_checkpoint_of_other_data_is_refused() {
    let mut stage = Stage::new(config());
    stage.join(1);
    stage.request(1);
    let state = stage.engine.state().unwrap();
    let restore = |config| Engine::restore(config, state.clone()).err();
    assert_eq!(restore(config()), None);
    for shards in [vec![30], vec![10, 10, 11], vec![10, 10, 9]] {
        assert_eq!(restore(Config { shards, ..config() }), Some(RestoreError::Samples(0)));
    }
    let config = Config { epochs: 1, ..config() };
    stage.request(1);
    let mut later = Stage::new(Config { shards: vec![4], ..self::config() });
    later.join(1);
    for _ in 0..2 {
        let lease = later.request(1).unwrap();
        later.work(1, &lease, SECOND);
    }
    let error =
        Engine::restore(Config { shards: vec![4], ..config }, later.engine.state().unwrap());
    assert_eq!(error.err(), Some(RestoreError::Epochs { begun: 2, epochs: 1 }));
}

#[test]
fn screening_remembers_what_is_usual() {
    let mut stage = Stage::new(Config { shards: vec![1000], ..config() });
    stage.join(1);
    for _ in 0..30 {
        let lease = stage.request(1).unwrap();
        stage.work(1, &lease, SECOND);
    }
    let mut again = stage.restart(Config { shards: vec![1000], ..config() });
    again.join(2);
    again.norm = 11.0;
    let lease = again.request(2).unwrap();
    let refused = outcome(&again.work(2, &lease, SECOND), lease.id);
    assert_eq!(refused, Some(Outcome::Rejected(Reason::Norm)));
}

#[test]
fn late_repeated_and_refused_work_is_counted_where_it_belongs() {
    let mut stage = Stage::new(Config { shards: vec![8], epochs: 1, ..config() });
    stage.join(1);
    stage.join(2);
    let late = stage.request(1).unwrap();
    stage.pull(1, &late, &[]);
    let wake = stage.engine.wake_at().unwrap();
    stage.tick(wake.0);
    let again = stage.request(2).unwrap();
    assert_eq!(again.segments, late.segments);
    let totals = stage.engine.status().totals;
    assert_eq!((totals.expired, totals.late, totals.re_leased), (1, 0, 4));
    let actions = stage.deliver(1, &late);
    assert!(matches!(end(&actions, late.id), Some(End::Merged { late: true, .. })));
    let duplicate = End::Rejected { reason: Reason::Duplicate, dropped: false };
    assert_eq!(end(&actions, again.id), Some(duplicate), "not pulled yet: not needed any more");
    stage.finite = false;
    let bad = leases(&actions).pop().or_else(|| stage.request(2)).unwrap();
    let worker = if leases(&actions).is_empty() { 2 } else { 1 };
    let refused = End::Rejected { reason: Reason::NotFinite, dropped: false };
    assert_eq!(end(&stage.work(worker, &bad, SECOND), bad.id), Some(refused));
    let totals = stage.engine.status().totals;
    assert_eq!((totals.late, totals.duplicate, totals.rejected[&Reason::NotFinite]), (1, 1, 1));
    // Leases handed out: merged ones, and all that had to be handed out again.
    stage.finite = true;
    let last = stage.request(3 - worker).unwrap();
    let actions = stage.work(3 - worker, &last, SECOND);
    assert!(matches!(end(&actions, last.id), Some(End::Merged { late: false, .. })));
    let totals = stage.engine.status().totals;
    assert_eq!((totals.leases, totals.samples, totals.re_leased), (4, 8, 8));
}
