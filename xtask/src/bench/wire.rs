//! How fast deltas and parameters pass through a coordinator, against a raw WebSocket echo.

use anyhow::Result;

use super::{Bench, Report, Spread, number, verdict};

const ROUNDS: usize = 7;
const PARAMETERS: [&str; 2] = ["1000000", "10000000"];
const CODECS: [&str; 2] = ["f32", "f16"];
/// Seconds of each measurement, of which 56 are made.
const SECONDS: &str = "4";
const GOAL: f64 = 0.6;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let mut report = Report {
        head: vec![
            "parameters",
            "codec",
            "bytes each way",
            "push and pull/s",
            "echo/s",
            "ratio",
            "goal",
        ],
        rows: Vec::new(),
        notes: vec![format!(
            "Eight connections over loopback, both ends on this machine's cores. A worker that does \
             not train pushes a delta while it pulls the parameters for its next lease; the floor \
             is a server in a process of its own that sends each frame back, with the same library \
             and frames of the same length. Medians of {ROUNDS} alternated rounds, lowest and \
             highest in brackets."
        )],
    };
    for parameters in PARAMETERS {
        for codec in CODECS {
            let (mut herd, mut echo, mut ratios, mut bytes) = (vec![], vec![], vec![], 0.0);
            for round in 0..ROUNDS {
                eprintln!("{parameters} parameters, {codec}, round {} of {ROUNDS}", round + 1);
                let mut load = |side: &str| -> Result<f64> {
                    let result = bench.program("wire-load", &[side, parameters, codec, SECONDS])?;
                    bytes = number(&result, "bytes")?;
                    number(&result, "exchanges_per_second")
                };
                let (floor, value) = (load("echo")?, load("herd")?);
                echo.push(floor);
                herd.push(value);
                ratios.push(value / floor);
            }
            let ratio = Spread::of(&ratios);
            report.rows.push(vec![
                parameters.to_owned(),
                codec.to_owned(),
                format!("{:.1} MB", bytes / 1e6),
                Spread::of(&herd).decimal(),
                Spread::of(&echo).decimal(),
                ratio.ratio(),
                verdict(ratio.median, GOAL),
            ]);
        }
    }
    Ok(report)
}
