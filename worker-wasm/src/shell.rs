//! The shell around worker-core: everything that happens in the Web Worker comes through
//! [`feed`], and what the state machine answers is carried out here.
//!
//! There is one shell in a Web Worker, and one thread: callbacks of the browser find it in a
//! thread-local place.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedSender, unbounded};
use protocol::{Digest, Identity, Outcome, ToCoordinator, frame, limits};
use wasm_bindgen_futures::spawn_local;
use worker_core::{Backoff, Input, Output, Profile, Stop, Worker};

use crate::device::{self, Processor};
use crate::news::{End, News, Options, State, tell};
use crate::scope::{self, Timer, now};
use crate::socket::{Happening, Socket};
use crate::training::{self, Work};

/// A timer that is right to so much is not set anew.
const TIMER_PRECISION: Duration = Duration::from_millis(2);

/// Shards that are fetched at a time.
const FETCHES_MAX: usize = 4;

thread_local! {
    static SHELL: RefCell<Option<Shell>> = const { RefCell::new(None) };
}

struct Shell {
    options: Options,
    identity: Identity,
    processors: Rc<Vec<Processor>>,
    /// The processor that the coordinator is told of.
    told: usize,
    worker: Worker,
    backoff: Backoff,
    work: UnboundedSender<Work>,
    socket: Option<Socket>,
    /// Counts connections: what happens on an earlier one is of no interest.
    connection: u32,
    timer: Option<Timer>,
    /// When the timer is due.
    due: Duration,
    heard: Duration,
    wanted: VecDeque<Digest>,
    fetching: usize,
    state: Option<State>,
}

/// Opens the processors and starts to train.
pub(crate) async fn run(options: Options) {
    let Some(identity) = identity(&options.identity) else {
        return end(End::Crashed, "the page gave no identity of 32 hexadecimal digits");
    };
    training::set_duty(options.duty);
    let processors = match device::candidates(options.device).await {
        Ok(processors) => Rc::new(processors),
        Err(reason) => return end(End::Unable, &reason),
    };
    let (work, jobs) = unbounded();
    spawn_local(training::run(processors.clone(), jobs));
    let profile = profile(&options, identity, &processors[0]);
    let seed = identity.0.iter().fold(u64::from(options.slot), |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let shell = Shell {
        options,
        identity,
        processors,
        told: 0,
        worker: Worker::new(profile),
        backoff: Backoff::new(seed),
        work,
        socket: None,
        connection: 0,
        timer: None,
        due: Duration::ZERO,
        heard: now(),
        wanted: VecDeque::new(),
        fetching: 0,
        state: None,
    };
    SHELL.with_borrow_mut(|slot| *slot = Some(shell));
    with(Shell::connect);
}

/// Tells the state machine what happened.
pub(crate) fn feed(input: Input) {
    with(|shell| shell.feed(input));
}

/// The training task trains on this processor from now on.
pub(crate) fn chosen(index: usize) {
    with(|shell| {
        if shell.told == index {
            return None;
        }
        shell.told = index;
        let profile = profile(&shell.options, shell.identity, &shell.processors[index]);
        shell.worker.set_profile(profile);
        let ended = shell.feed(Input::Disconnected);
        shell.farewell();
        ended.or_else(|| shell.connect())
    });
}

/// The page asks to stop: the lease is given back, and nothing is done any more.
pub(crate) fn stop(reason: &str) {
    with(|shell| shell.bye(reason));
    end(End::Stopped, reason);
}

/// The graphics card is gone, and with it what was in training.
pub(crate) fn device_lost(message: &str) {
    let here = with(|shell| shell.bye("the graphics device was lost"));
    if here {
        end(End::DeviceLost, message);
    }
}

/// Nothing happens any more, and the page is told why.
fn end(kind: End, reason: &str) {
    drop(SHELL.with_borrow_mut(Option::take));
    tell(&News::Ended { kind, reason: reason.to_owned() });
}

/// Why a worker ends, when it does.
type Ended = Option<(End, String)>;

/// Does something with the shell, and carries out how it ends. Says whether there is a shell: none
/// before the processors are open, and none after the end.
fn with(action: impl FnOnce(&mut Shell) -> Ended) -> bool {
    let done = SHELL.with_borrow_mut(|slot| slot.as_mut().map(action));
    if let Some(Some((kind, reason))) = &done {
        end(*kind, reason);
    }
    done.is_some()
}

fn happened(connection: u32, happening: Happening) {
    with(|shell| {
        if connection != shell.connection || shell.socket.is_none() {
            return None;
        }
        match happening {
            Happening::Open => shell.feed(Input::Connected),
            Happening::Message(bytes) => {
                shell.heard = now();
                shell.backoff.reset();
                shell.feed(Input::Frame(bytes))
            }
            Happening::Closed(reason) => shell.lost(reason, None),
        }
    });
}

impl Shell {
    fn connect(&mut self) -> Ended {
        self.be(State::Connecting);
        self.timer = None;
        self.connection += 1;
        let connection = self.connection;
        self.heard = now();
        match Socket::open(&self.options.url, move |happening| happened(connection, happening)) {
            Ok(socket) => self.socket = Some(socket),
            Err(reason) => return self.lost(reason, None),
        }
        self.set_timer();
        None
    }

    fn feed(&mut self, input: Input) -> Ended {
        let mut outputs = Vec::new();
        let free = matches!(input, Input::Prepared(Ok(())) | Input::Trained(Ok(_)));
        self.worker.handle(now(), input, &mut |output| outputs.push(output));
        if free && !outputs.iter().any(|output| matches!(output, Output::Train(_))) {
            self.be(State::Waiting);
        }
        let mut ended = None;
        for output in outputs {
            ended = ended.or(self.carry_out(output));
        }
        self.pump();
        self.fetch();
        self.set_timer();
        ended
    }

    fn carry_out(&mut self, output: Output) -> Ended {
        match output {
            Output::Send(bytes) => self.socket.as_mut().map(|socket| socket.send(bytes)),
            Output::Upload(bytes) => self.socket.as_mut().map(|socket| socket.upload(bytes)),
            Output::Fetch(digest) => {
                self.wanted.push_back(digest);
                None
            }
            Output::Prepare(assignment) => {
                self.be(State::Preparing);
                // The training task is there as long as this shell.
                self.work.unbounded_send(Work::Prepare(assignment)).ok()
            }
            Output::Train(job) => {
                self.be(State::Training);
                self.work.unbounded_send(Work::Train(job)).ok()
            }
            Output::Settled { samples, outcome, .. } => {
                let (merged, reason) = match outcome {
                    Outcome::Merged(_) => (true, None),
                    Outcome::Rejected(reason) => (false, Some(reason.name())),
                };
                tell(&News::Outcome { merged, samples: samples as f64, reason });
                None
            }
            Output::Stop(stop) => return self.stopped(stop),
        };
        None
    }

    fn stopped(&mut self, stop: Stop) -> Ended {
        let ended = match stop {
            Stop::Refused { reason, retry: false } => (End::Refused, reason),
            Stop::Ended(reason) => (End::Ended, reason),
            Stop::Unable(reason) => (End::Unable, reason),
            Stop::Restarting(delay) => {
                return self.lost("the coordinator restarts".to_owned(), Some(delay));
            }
            Stop::Refused { reason, .. } | Stop::Broken(reason) => return self.lost(reason, None),
        };
        self.farewell();
        Some(ended)
    }

    /// The connection is gone; it is tried again after a while, or after the time asked for.
    fn lost(&mut self, reason: String, delay: Option<Duration>) -> Ended {
        self.socket = None;
        self.wanted.clear();
        self.worker.handle(now(), Input::Disconnected, &mut |_| {});
        let delay = delay.unwrap_or_else(|| self.backoff.next_delay());
        self.state = None;
        tell(&News::Lost { reason, retry_in: delay.as_secs_f64() });
        self.timer = Timer::after(delay, || {
            with(Self::connect);
        });
        None
    }

    /// Says goodbye, so that the lease is given back at once.
    fn bye(&mut self, reason: &str) -> Ended {
        let reason = protocol::message::bounded_text(reason);
        let bye = frame::encode(&ToCoordinator::Bye { reason }, &[]);
        if let (Some(socket), Ok(bytes)) = (&mut self.socket, bye) {
            socket.send(bytes);
        }
        self.farewell();
        None
    }

    fn farewell(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.farewell();
        }
    }

    fn pump(&mut self) {
        if let Some(socket) = &mut self.socket {
            let again = || {
                with(|shell| {
                    shell.pump();
                    None
                });
            };
            socket.pump(again);
        }
    }

    fn fetch(&mut self) {
        while self.fetching < FETCHES_MAX
            && let Some(digest) = self.wanted.pop_front()
        {
            self.fetching += 1;
            let (url, token) =
                (format!("{}{digest}", self.options.shards), self.options.token.clone());
            spawn_local(async move {
                let bytes = scope::fetch(&url, &token, limits::SHARD_BYTES_MAX).await;
                with(|shell| {
                    shell.fetching -= 1;
                    shell.feed(Input::Shard { digest, bytes })
                });
            });
        }
    }

    /// The next thing that is due: the late pull, or the end of patience with a silent coordinator.
    fn set_timer(&mut self) {
        if self.socket.is_none() {
            return;
        }
        let silent = self.heard + limits::IDLE_TIMEOUT;
        let due = self.worker.wake_at().map_or(silent, |at| at.min(silent));
        // Each step moves it a little, and setting a timer costs a part of a step.
        if self.timer.is_some() && due.abs_diff(self.due) < TIMER_PRECISION {
            return;
        }
        self.due = due;
        self.timer = Timer::after(due.saturating_sub(now()), || {
            with(Self::tick);
        });
    }

    fn tick(&mut self) -> Ended {
        self.timer = None;
        if now().saturating_sub(self.heard) >= limits::IDLE_TIMEOUT {
            let silence = limits::IDLE_TIMEOUT.as_secs();
            return self.lost(format!("nothing came from the coordinator for {silence} s"), None);
        }
        self.feed(Input::Timer)
    }

    fn be(&mut self, state: State) {
        if self.state != Some(state) {
            self.state = Some(state);
            tell(&News::State { state });
        }
    }
}

fn identity(digits: &str) -> Option<Identity> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
    bytes.try_into().ok().map(Identity)
}

fn profile(options: &Options, identity: Identity, processor: &Processor) -> Profile {
    Profile {
        token: options.token.clone(),
        identity,
        slot: options.slot,
        name: options.name.clone(),
        device: processor.kind,
        device_name: processor.name.clone(),
        threads: 1,
        software: concat!("herd page ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
