//! Checkpoints: a state that is taken for one of a run must be one to go on from.

use std::path::Path;

use coordinator::storage;
use engine::{
    Config, Engine, Event, Frequency, Mode, Schedule, State, Strategy, Timestamp, WorkerKey,
};
use protocol::{Role, RunId, TensorInfo, TensorTable};

/// Two shards of few rows.
fn config() -> Config {
    Config {
        run: RunId(1),
        incarnation: 3,
        mode: Mode::Asynchronous,
        frequency: Frequency::Batch,
        strategy: Strategy::Auto,
        shards: vec![10, 6],
        batch_size: 4,
        epochs: 2,
        seed: 7,
        learning_rate: 0.1,
        schedule: Schedule::default(),
        inner_momentum: false,
        workers_min: 1,
        deterministic: false,
    }
}

/// A state in JSON, or a file of parameters.
pub(crate) fn run(data: &[u8]) {
    if data.first() == Some(&b'{') {
        if let Ok(state) = serde_json::from_slice::<State>(data) {
            go_on(state);
        }
        return;
    }
    let tensor = |name: &str, side| TensorInfo {
        name: name.to_owned(),
        shape: vec![side],
        role: Role::Parameter,
    };
    let table = TensorTable { tensors: vec![tensor("w", 2), tensor("v", 1)] };
    if let Ok((values, momentum)) = storage::decode_checkpoint(Path::new("c"), data, &table) {
        assert!(values.len() == 3 && (momentum.is_empty() || momentum.len() == 3));
        assert!(values.iter().chain(&momentum).all(|value| value.is_finite()));
    }
}

/// Trains what is left of a run, with one worker: it must come to its end.
fn go_on(state: State) {
    let Ok(mut engine) = Engine::restore(config(), state) else { return };
    let worker = WorkerKey(1);
    let mut events = vec![Event::WorkerJoined { worker }, Event::LeaseRequested { worker }];
    let mut finished = engine.status().finished;
    let mut now = 0;
    while let Some(event) = events.pop() {
        now += 1;
        for action in engine.handle(Timestamp(now), event) {
            match action {
                engine::Action::Lease { lease, .. } => {
                    let lease = lease.id;
                    events.push(Event::LeaseRequested { worker });
                    events.push(Event::DeltaReceived { worker, lease });
                    events.push(Event::Pulled { worker, lease, pending: Vec::new() });
                }
                engine::Action::Screen { lease } => events.push(Event::DeltaScreened {
                    lease,
                    finite: true,
                    length_ok: true,
                    norm: 1.0,
                }),
                engine::Action::Merge { order, .. } => {
                    events.extend(order.version().map(|version| Event::Merged { version }));
                }
                engine::Action::Finished { .. } => finished = true,
                _ => {}
            }
        }
        if events.is_empty() && !finished && now < 1000 {
            events.push(Event::LeaseRequested { worker });
            events.push(Event::WorkerJoined { worker });
        }
    }
    assert!(finished, "the run does not end: {:?}", engine.status());
}
