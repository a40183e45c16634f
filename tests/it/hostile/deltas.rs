//! Leases and deltas: forged, repeated, of others, cut wrongly.

use protocol::{Assignment, LeaseId, Outcome, Reason, ToCoordinator, ToWorker};
use tests::stranger::{Stranger, delta};

use super::{Beside, Findings, POLICY, PROTOCOL};

/// Bytes of a model's delta.
fn bytes(assignment: &Assignment) -> usize {
    assignment.upload.bytes(&assignment.table)
}

/// A delta of zeros whose last value, which travels as f32, is another.
fn ending_in(assignment: &Assignment, last: f32) -> Vec<u8> {
    let mut payload = vec![0; bytes(assignment)];
    let end = payload.len() - 4;
    payload[end..].copy_from_slice(&last.to_le_bytes());
    payload
}

#[test]
fn forged_deltas_are_rejected_with_the_reason_and_counted_once_or_never() {
    // Norms are judged after 20 merges: two epochs of these.
    let mut beside = Beside::start_with(&["--frequency", "steps=10"]);
    beside.goes_on();
    let (mut forger, assignment) = Stranger::join(&beside.invitation, 1, 0);
    let length = bytes(&assignment);
    // The first tensor is a kernel in halves: two bytes of exponent, then the halves.
    let first = |low: [u8; 4]| [&low[..], &vec![0; length - 4]].concat();
    let rejected = |reason| Some(Outcome::Rejected(reason));
    let cases = [
        ("NaN", ending_in(&assignment, f32::NAN), rejected(Reason::NotFinite)),
        ("infinity", ending_in(&assignment, f32::INFINITY), rejected(Reason::NotFinite)),
        ("minus infinity", ending_in(&assignment, f32::NEG_INFINITY), rejected(Reason::NotFinite)),
        ("1e38", ending_in(&assignment, 1e38), rejected(Reason::Norm)),
        ("-3e38", ending_in(&assignment, -3e38), rejected(Reason::Norm)),
        ("an exponent out of range", first([114, 0, 0, 0x3c]), rejected(Reason::NotFinite)),
        ("a half that is NaN", first([0, 0, 0, 0x7e]), rejected(Reason::NotFinite)),
        ("a half of 2^128", first([113, 0, 0, 0x78]), rejected(Reason::NotFinite)),
        ("one byte too few", vec![0; length - 1], rejected(Reason::Length)),
        ("one byte", vec![0], rejected(Reason::Length)),
        ("zeros", vec![0; length], None),
    ];
    let mut findings = Vec::new();
    for (name, payload, expected) in cases {
        let lease = forger.lease(&assignment);
        forger.pull(lease.id);
        let outcome = forger.push(lease.id, lease.samples(), &payload);
        let merged = matches!(outcome, Outcome::Merged(_));
        if expected.map_or(!merged, |expected| expected != outcome) {
            findings.push(format!("{name}: {outcome:?}, not {expected:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
    forger.say(&ToCoordinator::Bye { reason: "done".to_owned() }, &[]);
    let _ = forger.closed();
    let summary = beside.end();
    let workers = summary["workers"].as_array().unwrap();
    let forger = workers.iter().find(|worker| worker["name"] == "stranger 1").unwrap();
    assert_eq!(forger["merged"], 1, "{summary}");
    let counts = serde_json::json!({"length": 2, "norm": 2, "not-finite": 6});
    assert_eq!(forger["rejected"], counts, "{summary}");
}

#[test]
fn a_delta_counts_once_however_often_it_is_sent_and_only_for_its_worker() {
    let beside = Beside::start_with(&["--frequency", "steps=10"]);
    let (mut one, assignment) = Stranger::join(&beside.invitation, 1, 0);
    let (mut other, _) = Stranger::join(&beside.invitation, 2, 0);
    let lease = one.lease(&assignment);
    one.pull(lease.id);
    one.say(&ToCoordinator::Pull { lease: lease.id, pending: vec![lease.id] }, &[]);
    let again = one.hear();
    assert!(matches!(&again, ToWorker::Parameters { contains, .. } if contains.is_empty()));

    let outcome = Outcome::Rejected(Reason::UnknownLease);
    let refused = ToWorker::Ack { lease: lease.id, outcome };
    for message in [
        ToCoordinator::Pull { lease: lease.id, pending: Vec::new() },
        ToCoordinator::Offer { lease: lease.id, bytes: 4 },
    ] {
        other.say(&message, &[]);
        assert_eq!(other.hear(), refused, "another worker's lease");
    }
    // What an offer says of its size decides nothing.
    let payload = vec![0; bytes(&assignment)];
    one.offer(lease.id, u64::MAX);
    one.say(&ToCoordinator::Offer { lease: lease.id, bytes: 1 }, &[]);
    one.say(&delta(lease.id, payload.len() as u64, lease.samples()), &payload);
    let merged = one.outcome(lease.id);
    assert!(matches!(merged, Outcome::Merged(_)), "{merged:?}");

    // Offered again, it gets the same answer, or none but a rejection; it is not granted again.
    one.say(&ToCoordinator::Offer { lease: lease.id, bytes: 4 }, &[]);
    let repeated = one.outcome(lease.id);
    assert!([merged, outcome].contains(&repeated), "{repeated:?}");
    one.say(&delta(lease.id, payload.len() as u64, lease.samples()), &payload);
    let mut findings = Findings::default();
    findings.check("sent again", &one.closed(), POLICY, "not granted");
    findings.assert_none();
    let summary = beside.end();
    let workers = summary["workers"].as_array().unwrap();
    let one = workers.iter().find(|worker| worker["name"] == "stranger 1").unwrap();
    assert_eq!(
        (&one["merged"], &one["samples"]),
        (&1.into(), &lease.samples().into()),
        "{summary}"
    );
}

#[test]
fn transfers_that_are_cut_wrongly_end_their_session() {
    let beside = Beside::start_with(&["--frequency", "steps=10"]);
    let mut findings = Findings::default();
    let mut number = 0;
    // Grants an upload of the whole length and sends its first 1000 bytes.
    let mut begin = || {
        number += 1;
        let (mut stranger, assignment) = Stranger::join(&beside.invitation, number, 0);
        let (lease, total) = (stranger.lease(&assignment), bytes(&assignment) as u64);
        stranger.offer(lease.id, total);
        stranger.say(&delta(lease.id, total, lease.samples()), &[0; 1000]);
        (stranger, lease.id, total)
    };
    let chunk = |transfer, offset| ToCoordinator::Chunk { transfer, offset };
    let cases = [
        ("an overlap", chunk(1, 500), 1000, "a chunk at byte 500 came where byte 1000 was due"),
        ("a gap", chunk(1, 2000), 1000, "a chunk at byte 2000 came where byte 1000 was due"),
        ("from the start again", chunk(1, 0), 1000, "a chunk at byte 0 came"),
        ("far out", chunk(1, u64::MAX), 1000, "came where byte 1000 was due"),
        ("another transfer", chunk(2, 1000), 1000, "a chunk of transfer 2 came"),
        ("too much", chunk(1, 1000), 500_000, "ran over by"),
    ];
    for (name, message, length, words) in cases {
        let (mut stranger, ..) = begin();
        stranger.say(&message, &vec![0; length]);
        findings.check(name, &stranger.closed(), PROTOCOL, words);
    }
    let (mut stranger, lease, total) = begin();
    stranger.say(&delta(lease, total, 1), &[0; 1000]);
    findings.check("its start twice", &stranger.closed(), POLICY, "not granted");

    let (mut stranger, assignment) = Stranger::join(&beside.invitation, 100, 0);
    let leases: [LeaseId; 2] = [0, 1].map(|_| stranger.lease(&assignment).id);
    leases.iter().for_each(|lease| stranger.offer(*lease, total));
    leases.iter().for_each(|lease| stranger.say(&delta(*lease, total, 1), &[0; 1000]));
    let words = "a delta came before the last one was complete";
    findings.check("two at a time", &stranger.closed(), PROTOCOL, words);

    let (mut stranger, assignment) = Stranger::join(&beside.invitation, 101, 0);
    let lease = stranger.lease(&assignment).id;
    stranger.offer(lease, total);
    stranger.say(&delta(lease, total + 1, 1), &[0; 1000]);
    findings.check("longer than the model", &stranger.closed(), PROTOCOL, "are expected");
    findings.assert_none();
    let summary = beside.end();
    let merged = |worker: &serde_json::Value| worker["merged"] != 0;
    let workers = summary["workers"].as_array().unwrap();
    assert_eq!(workers.iter().filter(|worker| merged(worker)).count(), 1, "{summary}");
}
