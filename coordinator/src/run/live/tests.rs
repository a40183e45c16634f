//! What viewers get: each snapshot once, all of it where one was missed, and never too much.

use std::time::Duration;

use engine::{
    Config, Engine, EpochSummary, Frequency, Mode, Schedule, Status, Strategy, WorkerKey,
};
use futures_util::FutureExt;
use protocol::message::DeviceKind;
use protocol::{Hello, Identity, RunId};
use serde_json::Value;

use super::*;

fn about() -> About {
    About {
        name: "digits".into(),
        run: "run".into(),
        version_of_herd: "0.0.0",
        mode: Mode::Asynchronous,
        classes: true,
        parameters: 7,
        batch_size: 4,
        min_workers: 1,
        incarnation: 1,
        max_seconds: None,
    }
}

fn status() -> Status {
    let config = Config {
        run: RunId(1),
        incarnation: 1,
        mode: Mode::Asynchronous,
        frequency: Frequency::Batch,
        strategy: Strategy::Auto,
        shards: vec![10],
        batch_size: 4,
        epochs: 2,
        seed: 1,
        learning_rate: 0.1,
        schedule: Schedule::default(),
        inner_momentum: false,
        workers_min: 1,
        deterministic: false,
    };
    Engine::new(config).unwrap().status()
}

fn record(epoch: u32) -> EpochRecord {
    EpochRecord {
        epoch,
        seconds: f64::from(epoch) / 3.0,
        version: epoch.into(),
        training_loss: Some(1.0 / 3.0),
        training_accuracy: Some(0.75),
        training_mae: Some(1.0 / 7.0),
        validation_loss: Some(1.0 / f64::from(epoch)),
        validation_accuracy: Some(0.5),
        validation_mae: Some(1.0 / 7.0),
        counts: EpochSummary::default(),
    }
}

fn hello(number: u64) -> Hello {
    Hello {
        token: String::new(),
        identity: Identity(u128::from(number).to_le_bytes()),
        slot: 0,
        name: format!("{number} {}", "n".repeat(200)),
        device: DeviceKind::Gpu,
        device_name: "d".repeat(200),
        threads: 1,
        software: "herd page 1".into(),
        leases: Vec::new(),
    }
}

/// A run that stands so.
fn show(live: &Live, tally: &Tally, present: Vec<Presence>) {
    let moment = live.moment(Moment { present, ..Moment::default() });
    live.show_with(View::new(live.about(), &status(), tally, moment), tally);
}

/// The event that a viewer gets now, if there is one.
fn next(viewer: &mut Viewer) -> Option<(String, Value)> {
    let bytes = viewer.next().now_or_never()?.unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let (name, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
    assert!(data.ends_with("}\n\n") && data.trim_end().lines().count() == 1, "{text}");
    Some((name.to_owned(), serde_json::from_str(data).unwrap()))
}

fn numbers(list: &Value, key: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|item| item[key].as_u64().unwrap()).collect()
}

#[test]
fn who_misses_something_gets_all_and_the_others_what_is_new() {
    let live = Arc::new(Live::new(about(), &[record(1)], Some(1)));
    let mut tally = Tally::default();
    let (mut steady, mut slow) = (live.watch(), live.watch());
    assert_eq!(next(&mut steady), None, "nobody has looked yet");
    live.note(EventKind::Joined, 0.5, "one");
    show(&live, &tally, Vec::new());
    for viewer in [&mut steady, &mut slow] {
        let (name, data) = next(viewer).unwrap();
        assert_eq!(name, "whole");
        assert_eq!(numbers(&data["records"], "epoch"), [1]);
        assert_eq!(numbers(&data["events"], "number"), [1]);
        assert_eq!(data["view"]["best"]["epoch"], 1);
        assert_eq!(
            (&data["view"]["viewers"], &data["view"]["state"]),
            (&2.into(), &"waiting".into())
        );
        assert_eq!(data["curve"], serde_json::json!([]));
        assert!(viewer.next().now_or_never().is_none(), "once");
    }
    live.epoch(&record(2), true);
    let report = protocol::Report { steps: 1, samples: 4, loss_sum: 8.0, busy_us: 1 };
    tally.reported(1, 0, 4, &report);
    show(&live, &tally, Vec::new());
    let (name, data) = next(&mut steady).unwrap();
    assert_eq!((name.as_str(), numbers(&data["records"], "epoch")), ("tick", vec![2]));
    assert_eq!((numbers(&data["events"], "number"), &data["history"]), (vec![], &Value::Null));
    assert_eq!(data["curve"], serde_json::json!([[4, 2.0, 0.0]]));
    assert_eq!(data["view"]["best"]["epoch"], 2);
    show(&live, &tally, Vec::new());
    let (name, data) = next(&mut steady).unwrap();
    assert_eq!((name.as_str(), &data["curve"]), ("tick", &Value::Null), "as before");
    let (name, data) = next(&mut slow).unwrap();
    assert_eq!((name.as_str(), numbers(&data["records"], "epoch")), ("whole", vec![1, 2]));
    drop(steady);
    assert_eq!(live.viewers(), 1);
    live.close();
    assert_eq!(slow.next().now_or_never(), Some(None), "the server ends");
}

#[test]
fn viewers_share_their_bytes() {
    let live = Arc::new(Live::new(about(), &[], None));
    let mut viewers: Vec<Viewer> = (0..50).map(|_| live.watch()).collect();
    for _ in 0..2 {
        show(&live, &Tally::default(), Vec::new());
        let all = viewers.iter_mut().map(|viewer| viewer.next().now_or_never().unwrap().unwrap());
        let places: std::collections::BTreeSet<_> = all.map(|bytes| bytes.as_ptr()).collect();
        assert_eq!(places.len(), 1);
    }
}

#[test]
fn who_comes_after_a_while_is_not_shown_what_was() {
    let live = Arc::new(Live::new(about(), &[], None));
    let viewer = live.watch();
    show(&live, &Tally::default(), Vec::new());
    drop(viewer);
    let mut late = live.watch();
    assert_eq!(next(&mut late), None);
    assert!(live.wanted().now_or_never().is_some(), "a new one is asked for");
    show(&live, &Tally::default(), Vec::new());
    assert!(next(&mut late).is_some());
    live.settle();
    drop(late);
    assert!(next(&mut live.watch()).is_some(), "of a run that is over the last one stays");
}

#[test]
fn long_runs_and_large_fleets_are_shown_in_bounds() {
    let records: Vec<EpochRecord> = (1..=10_000).map(record).collect();
    let live = Arc::new(Live::new(about(), &records, None));
    for number in 0..1000 {
        live.note(EventKind::Left, 1e6, &format!("{number}\n{}", "\u{1F411}".repeat(1000)));
    }
    let mut tally = Tally::default();
    let start = Instant::now();
    let mut present = Vec::new();
    for worker in 1..=3000 {
        let number = tally.joined(WorkerKey(worker), &hello(worker));
        let now = start + Duration::from_millis(250 * worker);
        tally.leased(number, now);
        tally.look(now, Some(9));
        let report = protocol::Report { steps: 1, samples: 64, loss_sum: 1.0 / 3.0, busy_us: 1 };
        tally.reported(number, 0, 64, &report);
        // The last hundred are there, and half of them lost.
        if worker > 2900 {
            let (connected, silence) = (worker % 2 == 0, Duration::from_millis(10));
            present.push(Presence { number, connected, leases: 1, silence });
        }
    }
    let mut viewer = live.watch();
    show(&live, &tally, present);
    let bytes = viewer.next().now_or_never().unwrap().unwrap();
    assert!(bytes.len() < 2_000_000, "{}", bytes.len());
    let text = std::str::from_utf8(&bytes).unwrap();
    let data: Value = serde_json::from_str(text.split_once("data: ").unwrap().1).unwrap();
    let epochs = numbers(&data["records"], "epoch");
    assert!((1000..=2000).contains(&epochs.len()) && epochs.is_sorted(), "{}", epochs.len());
    assert_eq!(
        (epochs[0], &epochs[epochs.len() - 1000..]),
        (1, &(9001..=10_000).collect::<Vec<_>>()[..])
    );
    assert_eq!(numbers(&data["events"], "number"), (801..=1000).collect::<Vec<_>>());
    for chart in ["curve", "history"] {
        let points = data[chart].as_array().unwrap().len();
        assert!((100..=240).contains(&points), "{chart}: {points}");
    }
    let view = &data["view"];
    let workers = view["workers"].as_array().unwrap();
    assert_eq!(
        (workers.len(), &view["workers_total"], &view["workers_connected"]),
        (200, &3000.into(), &50.into())
    );
    let states: Vec<&str> =
        workers.iter().map(|worker| worker["state"].as_str().unwrap()).collect();
    assert!(states[..50].iter().all(|state| *state == "training"));
    assert!(states[50..100].iter().all(|state| *state == "away"));
    assert!(states[100..].iter().all(|state| *state == "gone"));
    assert_eq!((&workers[0]["number"], &workers[0]["client"]), (&2902.into(), &"browser".into()));
    // What comes each half second is small.
    show(&live, &tally, Vec::new());
    let tick = viewer.next().now_or_never().unwrap().unwrap();
    assert!(tick.len() < 200_000, "{}", tick.len());
}
