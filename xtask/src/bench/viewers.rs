//! What it costs a coordinator that fifty people watch its run.
//!
//! A run goes on with two workers of other processes, each held back so that the machine has cores to
//! spare. In turns nobody watches for some seconds, and fifty do; the coordinator's own processor time
//! is what the system counts for its process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Bench, Report, Spread, at_most};

const VIEWERS: usize = 50;

/// Turns without and with viewers.
const ROUNDS: usize = 10;

/// Length of a turn.
const TURN: Duration = Duration::from_secs(15);

/// Time for viewers to come and be served, or to be noticed as gone.
const CHANGE: Duration = Duration::from_secs(2);

/// Samples per second of each worker.
const SPEED: &str = "4000";

/// The variable by which `herd-worker` is held back.
const SPEED_VARIABLE: &str = "HERD_TEST_SAMPLES_PER_SECOND";

/// Part of a core that viewers may cost.
const GOAL: f64 = 0.02;

/// Linux counts a process's time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let run = Run::start(bench)?;
    thread::sleep(CHANGE);
    let (mut without, mut with, mut ticks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        without.push(run.turn()?);
        let viewers = (0..VIEWERS).map(|_| run.viewer()).collect::<Result<Vec<_>>>()?;
        thread::sleep(CHANGE);
        with.push(run.turn()?);
        for viewer in viewers {
            let seen = viewer.end()?;
            ticks.push(seen.0);
            ensure!(seen.0 > 1.0, "a viewer was told {} times", seen.0);
        }
        thread::sleep(CHANGE);
        bench.runs.push(json!({ "without": without.last(), "with": with.last() }));
    }
    let added: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let (added, with, without) = (Spread::of(&added), Spread::of(&with), Spread::of(&without));
    Ok(Report {
        head: vec!["viewers", "part of a core", "added by viewers", "goal"],
        rows: vec![
            vec!["0".to_owned(), without.ratio(), String::new(), String::new()],
            vec![VIEWERS.to_string(), with.ratio(), added.ratio(), at_most(added.median, GOAL)],
        ],
        notes: vec![format!(
            "The default job with two workers of other processes at {SPEED} samples a second each. \
             Processor time of the coordinator's process, user and system, over {ROUNDS} turns of {} s \
             each without and with {VIEWERS} streams of /v1/live that are read at once: medians, lowest \
             and highest in brackets. A viewer was told {:.0} times a turn in the median.",
            TURN.as_secs(),
            Spread::of(&ticks).median
        )],
    })
}

/// A run under way.
struct Run {
    herd: Child,
    workers: Vec<Child>,
    host: String,
    /// A viewer's token.
    token: String,
}

impl Drop for Run {
    fn drop(&mut self) {
        for process in self.workers.iter_mut().chain([&mut self.herd]) {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Run {
    fn start(bench: &mut Bench<'_>) -> Result<Self> {
        bench.empty_runs()?;
        let mut herd = Command::new(bench.workspace.binary("herd"));
        herd.args(["train", "--workers", "0", "--min-workers", "2", "--epochs", "100000"]);
        herd.args(["--frequency", "steps=5", "--run-dir", "runs"]);
        bench.note(&herd);
        herd.current_dir(bench.folder()?);
        herd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut herd = herd.spawn().context("cannot start herd")?;
        let said = herd.stderr.take().context("its output is piped")?;
        let (host, joining, token) = invitation(said)?;
        let mut run = Self { herd, workers: Vec::new(), host, token };
        for _ in 0..2 {
            let mut worker = Command::new(bench.workspace.binary("herd-worker"));
            worker.env(SPEED_VARIABLE, SPEED);
            let address = format!("ws://{}", run.host);
            worker.args([&address, "--token", &joining, "--device", "cpu", "--threads", "1"]);
            worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            run.workers.push(worker.spawn().context("cannot start herd-worker")?);
        }
        Ok(run)
    }

    /// The part of a core that the coordinator takes for the length of a turn.
    fn turn(&self) -> Result<f64> {
        let (begun, before) = (Instant::now(), self.seconds()?);
        thread::sleep(TURN);
        Ok((self.seconds()? - before) / begun.elapsed().as_secs_f64())
    }

    /// Processor time of the coordinator so far.
    fn seconds(&self) -> Result<f64> {
        let path = format!("/proc/{}/stat", self.herd.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        // The second field is the program's name in parentheses, which may hold anything.
        let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<f64> =
            fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        ensure!(ticks.len() == 2, "{path} is not understood: {text}");
        Ok((ticks[0] + ticks[1]) / TICKS_PER_SECOND)
    }

    /// Somebody who watches.
    fn viewer(&self) -> Result<Viewer> {
        let mut stream = TcpStream::connect(&self.host).context("herd does not accept")?;
        let (host, token) = (&self.host, &self.token);
        let request = format!(
            "GET /v1/live HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut reading = stream.try_clone()?;
        let read = thread::spawn(move || {
            let (mut all, mut piece) = (String::new(), [0; 1 << 16]);
            // It ends when the other handle is shut down.
            while let Ok(count @ 1..) = reading.read(&mut piece) {
                all.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            all
        });
        Ok(Viewer { stream, read })
    }
}

struct Viewer {
    stream: TcpStream,
    read: thread::JoinHandle<String>,
}

impl Viewer {
    /// Leaves; gives how often it was told something, and how many bytes.
    fn end(self) -> Result<(f64, usize)> {
        self.stream.shutdown(std::net::Shutdown::Both)?;
        let read = self.read.join();
        let all = read.map_err(|_| anyhow::anyhow!("a viewer's thread failed"))?;
        let head = &all[..all.len().min(200)];
        ensure!(all.starts_with("HTTP/1.1 200 "), "a viewer was refused: {head}");
        Ok((all.matches("event: tick\n").count() as f64, all.len()))
    }
}

/// Where a coordinator that starts is, its worker's token and its viewer's; what it says later is read
/// and forgotten.
fn invitation(said: ChildStderr) -> Result<(String, String, String)> {
    let mut said = BufReader::new(said);
    let (mut all, mut token) = (String::new(), None);
    loop {
        let begin = all.len();
        ensure!(said.read_line(&mut all)? > 0, "herd says no link: {all}");
        let words: Vec<&str> = all[begin..].split_whitespace().collect();
        match words[..] {
            ["join", "herd-worker", _, "--token", given] => token = Some(given.to_owned()),
            ["watch", link] => {
                let link = link.strip_prefix("http://").and_then(|link| link.split_once("/#"));
                let (host, viewer) = link.context("the link is not understood")?;
                let token = token.context("herd says no token")?;
                let answer = (host.to_owned(), token, viewer.to_owned());
                thread::spawn(move || said.lines().all(|line| line.is_ok()));
                return Ok(answer);
            }
            _ => {}
        }
    }
}
