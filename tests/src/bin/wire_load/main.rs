//! How fast parameters and deltas pass through a coordinator, against a raw WebSocket echo.
//!
//! - `wire-load herd PARAMETERS CODEC SECONDS`: workers that do not train push a delta and pull the
//!   parameters for the next lease, again and again, against a real `herd train`
//! - `wire-load echo PARAMETERS CODEC SECONDS`: the same number of connections send as many bytes, in
//!   frames of the same length, to a server in a process of its own which sends each frame back
//! - `wire-load serve`: that server
//!
//! It prints one JSON line: exchanges a second of all connections together.
#![allow(clippy::print_stdout, reason = "the result is the program's output")]

mod echo;
mod worker;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use protocol::{Codec, Role, TensorInfo, TensorTable};
use serde_json::json;
use tests::coordinator::{Coordinator, job};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// A small fleet: with one for each core a tenth of their time is spent on waiting for each other.
const CONNECTIONS: u64 = 8;

/// For joining, the first exchange and the last: what takes longer is a mistake.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pixels of a digit, and the network's ten outputs, for each of its hidden units.
const VALUES_PER_UNIT: u32 = 28 * 28 + 1 + 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments[..] == ["serve"] {
        return Runtime::new()?.block_on(echo::serve());
    }
    let [side, parameters, codec, seconds] = arguments[..] else {
        bail!("usage: wire-load herd|echo PARAMETERS f16|f32 SECONDS, or wire-load serve");
    };
    let units = parameters.parse::<u32>().context("PARAMETERS is a number")? / VALUES_PER_UNIT;
    let codec: Codec = codec.parse().map_err(anyhow::Error::msg)?;
    let time = Duration::from_secs_f64(seconds.parse().context("SECONDS is a number")?);
    let runtime = Runtime::new()?;
    let (rate, bytes) = match side {
        "herd" => {
            // What it costs to store checkpoints is not the wire's.
            let interval = "training.checkpoint_interval=3600";
            let codec_flag = format!("training.codec={codec}");
            let flags = ["--set", interval, "--set", &codec_flag];
            let coordinator = Coordinator::start(&job(units), &flags)?;
            let invitation = coordinator.invitation().clone();
            runtime.block_on(all(time, |number, end| {
                let invitation = invitation.clone();
                async move { worker::exchange(&invitation, number, end).await }
            }))?
        }
        "echo" => {
            let server = echo::Server::start()?;
            let address = server.address.clone();
            let length = codec.bytes(&table(units));
            runtime.block_on(all(time, |_, end| {
                let address = address.clone();
                async move { echo::exchange(&address, length, end).await }
            }))?
        }
        _ => bail!("{side:?} is neither herd nor echo"),
    };
    println!(
        "{}",
        json!({ "exchanges_per_second": rate, "bytes": bytes, "connections": CONNECTIONS })
    );
    Ok(())
}

/// Runs all connections at once until the time is over. Gives their exchanges a second together, and
/// the bytes of one, each way.
async fn all<F>(time: Duration, one: impl Fn(u64, Instant) -> F) -> Result<(f64, usize)>
where
    F: Future<Output = Result<(f64, usize)>> + Send + 'static,
{
    // Each warms up with an exchange before; joining takes a while too.
    let end = Instant::now() + Duration::from_secs(2) + time;
    let mut tasks: JoinSet<_> = (0..CONNECTIONS).map(|number| one(number, end)).collect();
    let (mut rates, mut bytes) = (0.0, 0);
    while let Some(task) = timeout(time + PATIENCE, tasks.join_next()).await.context("no end")? {
        let (rate, length) = task??;
        (rates, bytes) = (rates + rate, length);
    }
    Ok((rates, bytes))
}

/// The shape table of [`job`]'s network.
fn table(units: u32) -> TensorTable {
    let tensor = |name: &str, shape: Vec<u32>| TensorInfo {
        name: name.to_owned(),
        shape,
        role: Role::Parameter,
    };
    let tensors = vec![
        tensor("dense.kernel", vec![28 * 28, units]),
        tensor("dense.bias", vec![units]),
        tensor("dense_1.kernel", vec![units, 10]),
        tensor("dense_1.bias", vec![10]),
    ];
    TensorTable { tensors }
}

/// Exchanges a second between the first one, which warms up, and the end.
struct Count {
    began: Option<Instant>,
    exchanges: u32,
    last: Instant,
}

impl Count {
    fn new() -> Self {
        Self { began: None, exchanges: 0, last: Instant::now() }
    }

    fn exchanged(&mut self) {
        self.last = Instant::now();
        match self.began {
            None => self.began = Some(self.last),
            Some(_) => self.exchanges += 1,
        }
    }

    fn rate(&self) -> Result<f64> {
        let began = self.began.context("nothing was exchanged in the time given")?;
        if self.exchanges == 0 {
            bail!("a single exchange took all of the time given");
        }
        Ok(f64::from(self.exchanges) / (self.last - began).as_secs_f64())
    }
}

/// Buffers as long as a piece of a payload, on both sides of both.
fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(64 << 10)
}
