//! Connections: each is accepted, counted, served with timeouts, and closed.
//!
//! - [`serve`]: the loop that accepts, and ends with the run
//! - a connection over a limit ([`super::visitors`]) is told so in a sentence and closed
//! - with TLS its handshake comes first, in the connection's own task and time
//! - a head that is slow, silent or too long ends its connection: hyper sees to it
//! - a write that gets nowhere for [`WRITE_TIMEOUT`] ends its connection: [`Patient`] sees to it

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use protocol::limits::{REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_TIMEOUT, WRITE_TIMEOUT};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::Shared;
use super::gate::Peer;
use super::tls::Tls;
use super::visitors::{Full, Visitor, answer};

/// Wait after the system refused to accept, most likely for want of descriptors: others have to
/// close first.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Least time between two lines about connections that could not be accepted.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Refused connections that are given [`REFUSAL_TIMEOUT`] to read why. Others are not waited for.
const REFUSALS_MAX: usize = 64;

/// Time to read why a connection is refused.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for the handshake of TLS, and for who does not begin one.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a plain request is told where TLS is spoken.
const NOT_PLAIN: &str = "this port speaks https and wss only: write https:// instead of http://, \
                         wss:// instead of ws://";

/// Connections that may wait to be accepted: a class that opens the page at once, or a fleet that
/// comes back. The usual 128 overflow, and who was lost then waits for ever.
const BACKLOG: u32 = 4096;

/// Listens at `HOST:PORT`, at the first of the host's addresses that can be had.
///
/// # Errors
/// When none can.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failed = None;
    for address in lookup_host(address).await? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("the host has no address")))
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows it would let another program take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts and serves until `shutdown` resolves, then waits for the requests under way.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    // Dropping `ending` tells all connections; each holds an `open` until its end.
    let (ending, told) = watch::channel(());
    let (all, open) = watch::channel(());
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let mut complaints = Complaints::default();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            // Its other end is gone already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                complaints.add(&error);
                sleep(RETRY_DELAY).await;
                continue;
            }
        };
        // A session's messages are small and answer each other: none may wait for the one before it
        // to be acknowledged.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection keeps Nagle's delay: {error}");
        }
        let peer = Peer { address: address.ip(), encrypted: tls.is_some() };
        let entered = if shared.gate.is_proxy(peer.address) {
            shared.visitors.enter_proxy(peer.address)
        } else {
            shared.visitors.enter(peer.address)
        };
        match entered {
            Ok(visitor) => {
                let guest = Guest { peer, visitor: Arc::new(visitor), router: router.clone() };
                let serving = connection(stream, tls.clone(), guest, told.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    serving.await;
                    drop(open);
                });
            }
            // Encrypting the sentence would cost more than the connection does.
            Err(_) if tls.is_some() => drop(stream),
            Err(full) => refuse(stream, full, &refusals),
        }
    }
    drop((listener, ending, open));
    all.closed().await;
}

/// Who is served, and with what.
struct Guest {
    peer: Peer,
    visitor: Arc<Visitor>,
    router: Router,
}

/// Serves one connection up to its end, or to its upgrade: a session then goes on by itself.
async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    guest: Guest,
    told: watch::Receiver<()>,
) {
    let Some(tls) = tls else {
        return requests(Patient { stream, stalled: None }, guest, told).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, handshake(stream, &tls)).await {
        Ok(Ok(stream)) => requests(stream, guest, told).await,
        Ok(Err(error)) => tracing::debug!("a connection did not get to TLS: {error}"),
        Err(_) => tracing::debug!("a connection did not get to TLS in time"),
    }
}

/// Begins TLS. Who speaks plain HTTP is told so.
async fn handshake(stream: TcpStream, tls: &Tls) -> io::Result<TlsStream<Patient>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // The name of a method; TLS begins with the byte 22.
    if first[0].is_ascii_uppercase() {
        say_farewell(stream, &answer("400 Bad Request", "", NOT_PLAIN)).await?;
        return Err(io::Error::other("it speaks plain HTTP"));
    }
    tls.acceptor().accept(Patient { stream, stalled: None }).await
}

async fn requests<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    Guest { peer, visitor, router }: Guest,
    mut told: watch::Receiver<()>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(visitor.clone());
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD_TIMEOUT)
        .max_header_size(REQUEST_HEAD_BYTES_MAX)
        .max_buf_size(REQUEST_HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        // The sender says nothing: it is dropped.
        _ = told.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// Tells a connection that it is one too many, and closes it. Work and time for it are bounded.
fn refuse(stream: TcpStream, full: Full, refusals: &Arc<Semaphore>) {
    let answer = full.answer();
    let Ok(place) = refusals.clone().try_acquire_owned() else {
        // The socket is new: its buffer takes the answer at once, or the answer is lost. Not through
        // the runtime, which does not know yet that the socket can be written to.
        let _ = stream.into_std().and_then(|mut stream| stream.write(answer.as_bytes()));
        return;
    };
    tokio::spawn(async move {
        // The other end may be gone already, which is as good.
        let _ = timeout(REFUSAL_TIMEOUT, say_farewell(stream, &answer)).await;
        drop(place);
    });
}

/// Answers and hears the other end out: the system takes an answer back when it closes a connection
/// with a request that nobody read.
async fn say_farewell(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut request = [0; 1024];
    let mut heard = 0;
    while heard < REQUEST_HEAD_BYTES_MAX {
        match stream.read(&mut request).await? {
            0 => break,
            count => heard += count,
        }
    }
    Ok(())
}

/// Says that connections cannot be accepted: seldom, for it may happen at each attempt.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn add(&mut self, error: &io::Error) {
        self.unsaid += 1;
        if self.last.is_some_and(|last| last.elapsed() < COMPLAINT_INTERVAL) {
            return;
        }
        let Self { unsaid, .. } = std::mem::take(self);
        self.last = Some(Instant::now());
        tracing::warn!(
            "connections cannot be accepted ({unsaid} attempts): {error}; if descriptors are \
             short, start herd with a higher `ulimit -n`"
        );
    }
}

/// A socket that is given up when a write makes no headway for [`WRITE_TIMEOUT`].
struct Patient {
    stream: TcpStream,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the other end reads too slowly")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
