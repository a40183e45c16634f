//! One session: feeds the worker's state machine from socket, training thread, fetches and timer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, SplitSink, StreamExt};
use futures_util::{FutureExt, SinkExt};
use protocol::Digest;
use protocol::limits::IDLE_TIMEOUT;
use tokio_tungstenite::tungstenite::{self, Message};
use worker_core::{Backoff, Input, Output, Stop, Worker};

use crate::connection::{Shards, Socket, close_reason};
use crate::device::Processor;
use crate::training::{Event, Training, Work};

/// Shards that are fetched at a time.
const FETCHES_MAX: usize = 4;

/// Time for the last words of a session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest sleep without a reason to wake: the timer is set again after each event anyway.
const IDLE_SLEEP: Duration = Duration::from_secs(3600);

/// How one session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// The worker or the connection says so.
    Stopped(Stop),
    /// `auto` chose a processor that the coordinator was not told of: its index.
    Rename(usize),
}

/// What a session works with; all of it outlives the session.
#[derive(Debug)]
pub struct Session<'a> {
    /// The state machine.
    pub worker: &'a mut Worker,
    /// The training thread.
    pub training: &'a mut Training,
    /// Where shards come from.
    pub shards: &'a Shards,
    /// Starts anew when the coordinator lets the worker in.
    pub backoff: &'a mut Backoff,
    /// The moment from which the worker's time counts.
    pub started: Instant,
}

impl Session<'_> {
    /// Runs the session to its end. `told` is the processor that the coordinator is told of.
    pub async fn run(
        &mut self,
        socket: Socket,
        told: &Processor,
        processors: &[Processor],
    ) -> SessionEnd {
        let (sink, mut stream) = socket.split();
        let mut writer =
            Writer { sink, queue: VecDeque::new(), uploads: VecDeque::new(), flushed: true };
        let mut fetches = FuturesUnordered::new();
        let mut heard = Instant::now();
        let mut wanted = Vec::new();
        let mut stop = self.feed(Input::Connected, &mut writer, &mut wanted);
        while stop.is_none() {
            while fetches.len() < FETCHES_MAX
                && let Some(digest) = wanted.pop()
            {
                let shards = self.shards.clone();
                fetches.push(async move { (digest, shards.fetch(digest).await) }.boxed());
            }
            let now = self.started.elapsed();
            let sleep = self.worker.wake_at().map_or(IDLE_SLEEP, |at| at.saturating_sub(now));
            let input = tokio::select! {
                biased;
                event = self.training.events.recv() => match event {
                    Some(Event::Input(news)) => Ok(news),
                    Some(Event::Chosen(index)) if processors[index].name != told.name => {
                        self.feed(Input::Disconnected, &mut writer, &mut wanted);
                        writer.close().await;
                        return SessionEnd::Rename(index);
                    }
                    Some(Event::Chosen(_)) => continue,
                    None => Err(Stop::Unable("the training thread ended".to_owned())),
                },
                message = stream.next() => match received(message) {
                    Ok(bytes) => {
                        heard = Instant::now();
                        let Some(bytes) = bytes else { continue };
                        self.backoff.reset();
                        Ok(Input::Frame(bytes))
                    }
                    Err(stop) => Err(stop),
                },
                sent = writer.write(), if writer.has_work() => match sent {
                    Ok(()) => continue,
                    Err(error) => Err(Stop::Broken(error.to_string())),
                },
                Some((digest, bytes)) = fetches.next(), if !fetches.is_empty() => {
                    Ok(Input::Shard { digest, bytes })
                }
                () = tokio::time::sleep(sleep) => Ok(Input::Timer),
                () = tokio::time::sleep_until((heard + IDLE_TIMEOUT).into()) => {
                    let silence = IDLE_TIMEOUT.as_secs();
                    Err(Stop::Broken(format!("nothing came from the coordinator for {silence} s")))
                }
            };
            stop = match input {
                Ok(input) => self.feed(input, &mut writer, &mut wanted),
                Err(stop) => Some(stop),
            };
        }
        self.feed(Input::Disconnected, &mut writer, &mut wanted);
        writer.close().await;
        SessionEnd::Stopped(stop.expect("invariant: the loop ends with a reason"))
    }

    fn feed(
        &mut self,
        input: Input,
        writer: &mut Writer,
        wanted: &mut Vec<Digest>,
    ) -> Option<Stop> {
        let mut stop = None;
        let work = &self.training.work;
        self.worker.handle(self.started.elapsed(), input, &mut |output| match output {
            Output::Send(bytes) => writer.queue.push_back(bytes),
            Output::Upload(bytes) => writer.uploads.push_back(bytes),
            Output::Fetch(digest) => wanted.push(digest),
            // A send fails when the training thread is gone, which its events then tell.
            Output::Prepare(assignment) => drop(work.send(Work::Prepare(assignment))),
            Output::Train(job) => drop(work.send(Work::Train(job))),
            Output::Settled { .. } => {}
            Output::Stop(reason) => stop = Some(reason),
        });
        stop
    }
}

/// A binary message, nothing for pings, or the end.
fn received(message: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Bytes>, Stop> {
    match message {
        Some(Ok(Message::Binary(bytes))) => Ok(Some(bytes)),
        Some(Ok(Message::Close(frame))) => Err(Stop::Broken(close_reason(frame.as_ref()))),
        Some(Ok(Message::Text(_))) => Err(Stop::Broken("a text message came".to_owned())),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(Stop::Broken(error.to_string())),
        None => Err(Stop::Broken(close_reason(None))),
    }
}

/// Writes queued messages; may be interrupted at any await without losing one.
struct Writer {
    sink: SplitSink<Socket, Message>,
    queue: VecDeque<Bytes>,
    /// Parts of deltas, which let all other messages pass.
    uploads: VecDeque<Bytes>,
    flushed: bool,
}

impl Writer {
    fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.uploads.is_empty() || !self.flushed
    }

    async fn write(&mut self) -> Result<(), tungstenite::Error> {
        while !self.queue.is_empty() || !self.uploads.is_empty() {
            poll_fn(|context| self.sink.poll_ready_unpin(context)).await?;
            if let Some(bytes) = self.queue.pop_front().or_else(|| self.uploads.pop_front()) {
                self.flushed = false;
                self.sink.start_send_unpin(Message::Binary(bytes))?;
            }
        }
        self.sink.flush().await?;
        self.flushed = true;
        Ok(())
    }

    /// Says what is left to say and closes. The other end may be gone already, which is as good.
    async fn close(&mut self) {
        self.uploads.clear();
        let closing = async {
            self.write().await?;
            self.sink.close().await
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}
