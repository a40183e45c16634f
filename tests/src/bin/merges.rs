//! How fast deltas are merged: against copying the same bytes from one place in memory to another.
//!
//! `merges SECONDS` prints one JSON object a line: a number of parameters, a codec, a rule, and how
//! often a second its deltas are merged straight from their bytes, examined, and how often as many
//! bytes are copied. Merging moves the delta, the values twice (read and written), and under
//! `nesterov` the momentum twice; the copy moves as many, half of them read and half written. Each
//! side runs on all cores as the coordinator does: a large model in parts, a small one on one.
#![allow(clippy::print_stdout, reason = "the result is the program's output")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use coordinator::run::Examiner;
use coordinator::run::parallel::{self, threads_for};
use engine::merge::{Examination, Master, MergeOrder};
use protocol::limits::CHUNK_BYTES_MAX;
use protocol::{Codec, Role, TensorInfo, TensorTable, Version};
use serde_json::json;

const PARAMETERS: [u32; 3] = [100_000, 1_000_000, 10_000_000];

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0.2);
    let time = Duration::from_secs_f64(seconds);
    for parameters in PARAMETERS {
        for codec in [Codec::F32, Codec::F16] {
            for rule in ["sum", "nesterov"] {
                println!("{}", measure(parameters, codec, rule, time));
            }
        }
    }
}

fn measure(parameters: u32, codec: Codec, rule: &str, time: Duration) -> serde_json::Value {
    let (name, shape) = ("dense.kernel".to_owned(), vec![parameters]);
    let table = TensorTable { tensors: vec![TensorInfo { name, shape, role: Role::Parameter }] };
    let count = parameters as usize;
    let values: Vec<f32> =
        (0..count).map(|index| ((index % 2003) as f32 - 1001.0) * 1e-5).collect();
    // Payloads of one frame follow its header at any byte; longer ones are put together.
    let bytes = codec.encode(&table, &values);
    let header = if bytes.len() > CHUNK_BYTES_MAX { 0 } else { 13 };
    let framed = [&vec![0; header], &bytes[..]].concat();
    let bytes = &framed[header..];
    let version = Version { incarnation: 1, number: 1 };
    let (order, moved) = match rule {
        "sum" => (MergeOrder::Add { version, weight: 1e-3, buffer_weight: 0.0 }, 8),
        _ => {
            let (in_flight, staleness, clip, buffer_weight) = (2.0, 1, 1.0, 0.0);
            (MergeOrder::Spread { version, in_flight, staleness, clip, buffer_weight }, 16)
        }
    };
    let moved = moved * count + bytes.len();
    let examiner = Examiner::new(codec, &table);
    let payload = examiner.layout.payload(bytes).expect("it was just encoded");
    let mut master = Master::new(&table, values, version).expect("as long as the table");
    let merges = rate(time, || parallel::merge(&mut master, &order, &payload));
    let examined = rate(time, || {
        black_box(examiner.result(Examination::default(), bytes));
    });
    let threads = threads_for(count);
    let from = vec![1_u8; moved / 2];
    let mut to = vec![0_u8; moved / 2];
    let copies = rate(time, || {
        let part = from.len().div_ceil(threads);
        let parts: Vec<_> = from.chunks(part).zip(to.chunks_mut(part)).collect();
        parallel::at_once(parts, |(from, to)| to.copy_from_slice(from));
        black_box(&mut to);
    });
    json!({
        "parameters": parameters, "codec": codec.to_string(), "rule": rule, "threads": threads,
        "merges_per_second": merges, "examined_per_second": examined, "copies_per_second": copies,
        "bytes": moved,
    })
}

/// How often a second something can be done: by the median, for other programs take their share of a
/// core now and then.
fn rate(time: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < time {
        let begun = Instant::now();
        work();
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    1.0 / times[times.len() / 2].as_secs_f64()
}
