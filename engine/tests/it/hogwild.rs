//! A master that threads change at once, under real threads.

use std::sync::{Arc, Barrier};
use std::thread;

use engine::merge::{Delta, Master, MergeOrder, Shared};
use protocol::pieces::{PIECE_VALUES_MAX, Piece};
use protocol::{Role, TensorInfo, TensorTable, Version};

const VALUES: usize = 3 * PIECE_VALUES_MAX + 17;

fn table() -> TensorTable {
    let tensor =
        |name: &str, shape: Vec<u32>, role| TensorInfo { name: name.to_owned(), shape, role };
    TensorTable {
        tensors: vec![
            tensor("dense.kernel", vec![VALUES as u32 - 2], Role::Parameter),
            tensor("norm.variance", vec![2], Role::BufferNonNegative),
        ],
    }
}

fn master() -> Master {
    let values = (0..VALUES).map(|index| (index % 13) as f32).collect();
    Master::new(&table(), values, version(0)).expect("as long as the table")
}

fn version(number: u64) -> Version {
    Version { incarnation: 1, number }
}

fn add(number: u64, weight: f64) -> MergeOrder {
    MergeOrder::Add { version: version(number), weight, buffer_weight: 0.0 }
}

#[test]
fn alone_it_does_what_a_master_does() {
    let delta: Vec<f32> = (0..VALUES).map(|index| (index % 7) as f32 * 0.25).collect();
    let spread = |number| MergeOrder::Spread {
        version: version(number),
        in_flight: 3.0,
        staleness: 2,
        clip: 0.5,
        buffer_weight: 0.25,
    };
    let orders = [add(1, 0.5), spread(2), spread(3), add(4, -0.125)];
    let mut alone = master();
    let shared = Shared::new(master(), true);
    for order in &orders {
        alone.apply(order, &delta);
        shared.apply(order, &delta[..]);
    }
    assert_eq!(shared.values(), alone.values());
    assert_eq!(shared.momentum(), alone.momentum());
    assert_eq!(shared.into_values(), alone.into_values());
}

#[test]
fn sums_of_disjoint_updates_are_exact() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let before = master();
    let shared = Arc::new(Shared::new(before.clone(), false));
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|own| {
            let (shared, start) = (shared.clone(), start.clone());
            thread::spawn(move || {
                // Neighbours in memory, so that the threads are in each other's way all the time.
                let delta: Vec<f32> = (0..VALUES)
                    .map(|index| if index % THREADS == own { 1.0 } else { 0.0 })
                    .collect();
                start.wait();
                for round in 0..ROUNDS {
                    shared.apply(&add(round as u64, 1.0), &delta[..]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let parameters = VALUES - 2;
    for (index, (after, before)) in shared.values().iter().zip(before.values()).enumerate() {
        let expected = if index < parameters { before + ROUNDS as f32 } else { *before };
        assert_eq!(*after, expected, "value {index}");
    }
}

/// A delta of ones that waits before its second piece until another thread is there too.
struct Meeting<'a> {
    ones: Vec<f32>,
    place: &'a Barrier,
}

impl Delta for Meeting<'_> {
    fn piece<'a>(&'a self, number: usize, piece: &Piece, _: &'a mut [f32]) -> &'a [f32] {
        if number == 1 {
            self.place.wait();
        }
        &self.ones[piece.values.clone()]
    }
}

#[test]
fn merges_overlap() {
    // Each merge is half done when it meets the other: with a lock around a merge, or merges one
    // after the other, this never ends. The test has a thread that says so.
    let place = Arc::new(Barrier::new(2));
    let shared = Arc::new(Shared::new(master(), false));
    let (done, ended) = std::sync::mpsc::channel();
    for number in 1..=2 {
        let (place, shared, done) = (place.clone(), shared.clone(), done.clone());
        thread::spawn(move || {
            let delta = Meeting { ones: vec![1.0; VALUES], place: &place };
            shared.apply(&add(number, 1.0), &delta);
            done.send(()).unwrap();
        });
    }
    for _ in 0..2 {
        let ended = ended.recv_timeout(std::time::Duration::from_secs(60));
        ended.expect("two merges are under way at once");
    }
}
