//! Too many at once, too slow, too greedy: others notice nothing.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use futures_util::future::join_all;

use protocol::ToCoordinator;
use protocol::limits::{PULLS_MAX, REQUEST_HEAD_TIMEOUT, STRANGERS_PER_ADDRESS_MAX};
use tests::process::{TIMEOUT, herd};
use tests::raw;
use tests::stranger::Stranger;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{Beside, Findings, POLICY};
use crate::memory;

/// An address of this machine that no worker comes from.
const ELSEWHERE: &str = "127.0.0.2:0";

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ELSEWHERE.parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

/// What a connection is told until it ends, and when it has ended.
async fn hear_out(mut stream: TcpStream) -> (String, Instant) {
    let mut answer = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("an end in time").unwrap();
    (String::from_utf8_lossy(&answer).into_owned(), Instant::now())
}

#[test]
fn a_thousand_connections_without_token_keep_no_worker_out() {
    let beside = Beside::start();
    let address = beside.invitation.host().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    let streams = runtime.block_on(join_all((0..1000).map(|_| connect(address))));
    // While they are there, a worker joins.
    drop(Stranger::join(&beside.invitation, 1, 0));
    let heard = runtime.block_on(join_all(streams.into_iter().map(hear_out)));
    // Who was let in is cut without a word, as no request came.
    let (refused, let_in): (Vec<_>, Vec<_>) =
        heard.into_iter().partition(|(answer, _)| !answer.is_empty());
    for (answer, _) in &refused {
        let told = answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n")
            && answer.contains("\r\nretry-after: 5\r\n")
            && answer.ends_with("wait until they are cut\n");
        assert!(told, "{answer:?}");
    }
    assert!(let_in.len() >= STRANGERS_PER_ADDRESS_MAX, "{} were let in", let_in.len());
    // Unless the machine was so slow that some had been cut before others came.
    let last = refused.iter().map(|(_, at)| *at).max().expect("some are refused");
    if last - start < REQUEST_HEAD_TIMEOUT {
        assert_eq!(let_in.len(), STRANGERS_PER_ADDRESS_MAX);
    }
    beside.end();
}

#[test]
fn a_class_behind_one_router_joins_while_strangers_idle() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    let idle: Vec<_> = (0..100).map(|_| raw::tcp(&invitation)).collect();
    // More sessions than one address may have strangers.
    let mut class: Vec<Stranger> = (0..30)
        .flat_map(|laptop| (0..7).map(move |slot| (laptop, slot)))
        .map(|(laptop, slot)| Stranger::join(&invitation, laptop, slot).0)
        .collect();
    let others: Vec<Stranger> =
        (0..90).map(|number| Stranger::join(&invitation, 1000 + number, 0).0).collect();
    for stranger in &mut class {
        stranger.say(&ToCoordinator::Bye { reason: "done".to_owned() }, &[]);
    }
    for stranger in class {
        assert_eq!(stranger.closed(), (1000, "done".to_owned()));
    }
    drop((idle, others));
}

#[test]
fn a_bearer_is_no_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    let (host, token) = (invitation.host(), &invitation.token);
    let request =
        format!("GET /v1/status HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n");
    let viewers: Vec<_> = (0..STRANGERS_PER_ADDRESS_MAX + 50)
        .map(|_| {
            let mut stream = raw::tcp(&invitation);
            stream.write_all(request.as_bytes()).unwrap();
            let answer = raw::answer(&mut stream).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            stream
        })
        .collect();
    drop(viewers);
}

#[test]
fn who_pulls_without_reading_is_dropped() {
    let mut beside = Beside::start();
    let (mut greedy, assignment) = Stranger::join(&beside.invitation, 1, 0);
    let lease = greedy.lease(&assignment).id;
    // More than a socket takes: answers stay due.
    let pull = ToCoordinator::Pull { lease, pending: Vec::new() };
    while greedy.try_say(&pull) {}
    beside.herd.wait_for("stranger 1 left: the worker pulls without waiting for the answers");
    beside.goes_on();
    beside.end();
}

#[test]
fn places_that_are_not_used_are_given_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = memory::coordinator(&folder, 1000);
    let invitation = herd.invitation();
    // Of such a model three uploads run at a time: these three never come.
    let mut idlers: Vec<Stranger> = (1..=3)
        .map(|number| {
            let (mut idler, assignment) = Stranger::join(&invitation, number, 0);
            let lease = idler.lease(&assignment).id;
            idler.offer(lease, 1);
            idler
        })
        .collect();
    // Few versions are under way at a time. This one pulls and does not read.
    let (mut deaf, assignment) = Stranger::join(&invitation, 5, 0);
    let lease = deaf.lease(&assignment).id;
    deaf.say(&ToCoordinator::Pull { lease, pending: Vec::new() }, &[]);
    // This one waits for a place among the uploads, and all the while can pull.
    let (mut patient, assignment) = Stranger::join(&invitation, 6, 0);
    let lease = patient.lease(&assignment);
    for _ in 0..2 * PULLS_MAX {
        patient.pull(lease.id);
    }
    // Pings show that all of them live, and hold up nothing.
    for stranger in idlers.iter_mut().chain([&mut deaf]) {
        stranger.keep_pinging();
    }
    patient.offer(lease.id, 1);
    // The session's own clock or that of its socket, whichever is earlier.
    let line = herd.wait_for("stranger 5 is lost: ");
    assert!(line.contains("reads too slowly"), "{line}");
    let mut findings = Findings::default();
    for idler in idlers {
        let name = "who never uploads";
        findings.check(name, &idler.closed(), POLICY, "upload that was granted does not come");
    }
    findings.assert_none();
}
