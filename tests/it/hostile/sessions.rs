//! Sessions that break the protocol's order.

use bytes::Bytes;
use protocol::{LeaseId, Outcome, Reason, ToCoordinator, ToWorker};
use tests::process::herd;
use tests::raw::{self, FIN, PING, RawSocket};
use tests::stranger::{NO_LEASE, Stranger, delta, hello};
use tokio_tungstenite::tungstenite::Message;

use super::{Beside, Findings, NORMAL, POLICY, PROTOCOL};

#[test]
fn sessions_that_break_the_protocol_are_closed_and_cost_nothing() {
    let beside = Beside::start();
    let invitation = &beside.invitation;
    let garbage = Message::Binary(Bytes::from_static(&[0xff; 100]));
    let mut findings = Findings::default();
    let mut check = |name: &str, stranger: Stranger, code: u16, words: &str| {
        findings.check(name, &stranger.closed(), code, words);
    };
    let mut stranger = Stranger::connect(invitation);
    stranger.send(garbage.clone());
    check("garbage first", stranger, PROTOCOL, "does not decode");
    let mut stranger = Stranger::connect(invitation);
    stranger.send(Message::text("hello"));
    check("text", stranger, PROTOCOL, "text messages have no meaning");
    let mut stranger = Stranger::connect(invitation);
    stranger.say(&ToCoordinator::Pull { lease: NO_LEASE, pending: Vec::new() }, &[]);
    check("no Hello", stranger, PROTOCOL, "starts with Hello");
    let mut stranger = Stranger::connect(invitation);
    stranger.say(&hello("guess", 1, 0), &[]);
    assert!(matches!(stranger.hear(), ToWorker::Refused { retry: false, .. }));
    check("wrong token", stranger, POLICY, "the token does not admit");

    let join = |number| Stranger::join(invitation, number, 0).0;
    let mut stranger = join(2);
    stranger.send(garbage);
    check("garbage later", stranger, PROTOCOL, "does not decode");
    let mut stranger = join(3);
    stranger.say(&hello(&invitation.token, 3, 0), &[]);
    check("Hello again", stranger, PROTOCOL, "one Hello");
    let mut stranger = join(4);
    stranger.say(&delta(NO_LEASE, 4, 1), &[0; 4]);
    check("a delta without grant", stranger, POLICY, "not granted");
    let mut stranger = join(5);
    stranger.say(&ToCoordinator::Chunk { transfer: 1, offset: 0 }, &[0; 4]);
    check("a chunk of nothing", stranger, PROTOCOL, "chunk of no transfer");

    // What names a lease of another worker, or of nobody, is refused or without effect.
    let mut stranger = join(6);
    let leases = (1..=40).map(|number| LeaseId { number, ..NO_LEASE }).chain([NO_LEASE]);
    for lease in leases {
        stranger.say(&ToCoordinator::Progress { lease, steps: u64::MAX }, &[]);
        stranger.say(&ToCoordinator::Release { lease, reason: String::new() }, &[]);
        let outcome = Outcome::Rejected(Reason::UnknownLease);
        for message in [
            ToCoordinator::Pull { lease, pending: vec![lease] },
            ToCoordinator::Offer { lease, bytes: u64::MAX },
        ] {
            stranger.say(&message, &[]);
            assert_eq!(stranger.hear(), ToWorker::Ack { lease, outcome }, "to {message:?}");
        }
    }
    stranger.say(&ToCoordinator::Bye { reason: "enough".to_owned() }, &[]);
    check("Bye", stranger, NORMAL, "enough");
    // A slot that joins again replaces its older session.
    let older = join(7);
    let _newer = join(7);
    check("a slot that joined again", older, NORMAL, "ended by the coordinator");
    findings.assert_none();

    let summary = beside.end();
    let workers = summary["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "strangers trained nothing: {summary}");
}

#[test]
fn slots_of_one_identity_are_bounded_and_the_refusal_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    let slots = protocol::limits::SLOTS_PER_IDENTITY_MAX as u16;
    let joined: Vec<Stranger> =
        (0..slots).map(|slot| Stranger::join(&invitation, 1, slot).0).collect();
    let mut over = Stranger::connect(&invitation);
    over.say(&hello(&invitation.token, 1, slots), &[]);
    let refused = over.hear();
    let ToWorker::Refused { reason, retry: false } = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("64 workers already; start fewer"), "{reason}");
    assert_eq!(over.closed().0, POLICY);
    // A repeated slot, and another identity, are no slots more.
    let _repeated = Stranger::join(&invitation, 1, 0);
    let _other = Stranger::join(&invitation, 2, 0);
    drop(joined);
}

#[test]
fn silence_before_hello_is_cut_off_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd =
        herd(&["train", "--workers", "0", "--epochs", "1"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    // One connection that says nothing at all, one that stops after the upgrade, one that pings.
    let mute = raw::tcp(&invitation);
    let silent = Stranger::connect(&invitation);
    let mut pinging = RawSocket::connect(&invitation);
    pinging.send(&raw::frame(FIN | PING, b"still here"));
    let worker = invitation.worker("honest").run();
    worker.assert_worker_ended("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "open connections do not hold a run's end up: {finished}");
    drop((mute, silent, pinging));
}
