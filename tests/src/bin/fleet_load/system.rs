//! What a process costs, as the system counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks of a second in which Linux counts processor time, on all machines that Herd is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has cost so far.
pub(crate) struct Cost {
    cpu_seconds: f64,
    /// Memory that it holds now.
    pub(crate) megabytes: f64,
    /// The most that it ever held.
    pub(crate) megabytes_most: f64,
}

impl Cost {
    /// Cores that it kept busy for a time.
    pub(crate) fn cores_since(&self, before: &Self, time: Duration) -> f64 {
        (self.cpu_seconds - before.cpu_seconds) / time.as_secs_f64()
    }
}

/// The cost of another process.
pub(crate) fn cost(process: u32) -> Result<Cost> {
    read(&process.to_string())
}

/// The cost of this one.
pub(crate) fn own_cost() -> Result<Cost> {
    read("self")
}

fn read(process: &str) -> Result<Cost> {
    let read = |file: &str| {
        let path = format!("/proc/{process}/{file}");
        fs::read_to_string(&path)
            .with_context(|| format!("cannot read {path}: this measurement needs Linux, and runs"))
    };
    let (status, stat) = (read("status")?, read("stat")?);
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.trim_end_matches("kB").trim().parse::<f64>().ok());
        kilobytes.map(|kilobytes| kilobytes / 1e3 * 1.024).with_context(|| format!("no {name}"))
    };
    // The name in brackets may hold spaces; user and system time are the 14th and 15th field.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(Cost {
        cpu_seconds: ticks / TICKS_PER_SECOND,
        megabytes: megabytes("VmRSS:")?,
        megabytes_most: megabytes("VmHWM:")?,
    })
}
