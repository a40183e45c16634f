//! Each field at its limit is taken, and one step further refused, by sender and receiver alike.

use bytes::Bytes;
use protocol::frame::{self, FrameError, Message};
use protocol::limits::{
    CHUNK_BYTES_MAX, ELEMENTS_MAX, HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX,
    PENDING_MAX, RANK_MAX, SEGMENTS_MAX, SHARD_BYTES_MAX, SHARDS_MAX, SPEC_BYTES_MAX, TENSORS_MAX,
    TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};
use protocol::message::{Hello, MessageError, ShardInfo, bounded_text};
use protocol::tensor::TableError;
use protocol::{
    Assignment, Checksum, Digest, Lease, LeaseId, Role, Segment, TensorInfo, ToCoordinator,
    ToWorker, Version,
};

use super::{examples, tensor};

/// What sender and receiver say of a message: the same.
fn verdict<M: Message>(message: &M) -> Result<(), FrameError> {
    let payload: &[u8] = if message.has_payload() { &[1] } else { &[] };
    let sent = frame::encode(message, payload).map(drop);
    let mut unchecked = postcard::to_allocvec(message).unwrap();
    unchecked.extend_from_slice(payload);
    assert_eq!(frame::decode::<M>(&unchecked.into()).map(drop), sent);
    sent
}

/// Takes `limit` items or bytes of the field and refuses one more.
fn bounded<M: Message>(field: &'static str, limit: usize, message: impl Fn(usize) -> M) {
    assert_eq!(verdict(&message(limit)), Ok(()), "{field} at its limit");
    let error = MessageError::TooLong { field, length: limit + 1, limit };
    assert_eq!(verdict(&message(limit + 1)), Err(error.into()));
}

fn text(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn out_of_range<M: Message>(field: &'static str, message: &M) {
    assert_eq!(verdict(message), Err(MessageError::Range(field).into()));
}

fn hello(change: impl Fn(&mut Hello)) -> ToCoordinator {
    let ToCoordinator::Hello(mut hello) = examples::to_coordinator().remove(0).message else {
        panic!("the first example is another");
    };
    change(&mut hello);
    ToCoordinator::Hello(hello)
}

fn assignment(change: impl Fn(&mut Assignment)) -> ToWorker {
    let ToWorker::Assign(mut assignment) = examples::to_worker().remove(2).message else {
        panic!("the third example is another");
    };
    change(&mut assignment);
    ToWorker::Assign(assignment)
}

fn lease(change: impl Fn(&mut Lease)) -> ToWorker {
    let ToWorker::Lease(mut lease) = examples::lease().message else {
        panic!("the example is another");
    };
    change(&mut lease);
    ToWorker::Lease(lease)
}

const LEASE: LeaseId = LeaseId { incarnation: 1, number: 2 };

#[test]
fn texts() {
    bounded("token", TOKEN_BYTES_MAX, |length| hello(|hello| hello.token = text(length)));
    bounded("name", TEXT_BYTES_MAX, |length| hello(|hello| hello.name = text(length)));
    bounded("device name", TEXT_BYTES_MAX, |length| {
        hello(|hello| hello.device_name = text(length))
    });
    bounded("software", TEXT_BYTES_MAX, |length| hello(|hello| hello.software = text(length)));
    bounded("reason", TEXT_BYTES_MAX, |length| ToCoordinator::Bye { reason: text(length) });
    bounded("reason", TEXT_BYTES_MAX, |length| ToCoordinator::Release {
        lease: LEASE,
        reason: text(length),
    });
    bounded("text", TEXT_BYTES_MAX, |length| ToWorker::Welcome {
        session: protocol::SessionId(1),
        software: text(length),
    });
    bounded("text", TEXT_BYTES_MAX, |length| ToWorker::Refused {
        reason: text(length),
        retry: false,
    });
    bounded("text", TEXT_BYTES_MAX, |length| ToWorker::Ended {
        run: protocol::RunId(1),
        reason: text(length),
    });
    bounded("name", TEXT_BYTES_MAX, |length| assignment(|run| run.name = text(length)));
    bounded("spec", SPEC_BYTES_MAX, |length| assignment(|run| run.spec = text(length)));
}

#[test]
fn texts_are_cut_at_a_character() {
    assert_eq!(bounded_text("short"), "short");
    assert_eq!(bounded_text(&text(TEXT_BYTES_MAX + 1)), text(TEXT_BYTES_MAX));
    let euros = bounded_text(&"\u{20ac}".repeat(TEXT_BYTES_MAX));
    assert_eq!(euros, "\u{20ac}".repeat(TEXT_BYTES_MAX / 3));
}

#[test]
fn lists() {
    bounded("pending", PENDING_MAX, |length| ToCoordinator::Pull {
        lease: LEASE,
        pending: vec![LEASE; length],
    });
    bounded("contains", PENDING_MAX, |length| {
        let mut message = examples::to_worker().remove(4).message;
        let ToWorker::Parameters { contains, .. } = &mut message else {
            panic!("the fifth example is another");
        };
        *contains = vec![LEASE; length];
        message
    });
    bounded("segments", SEGMENTS_MAX, |length| {
        lease(|lease| lease.segments = vec![Segment { shard: 1, start: 2, count: 3 }; length])
    });
    // The longest list of shards fits into a header beside the longest spec.
    let shard = ShardInfo { digest: Digest([7; 32]), rows: u32::MAX, bytes: 1 << 20 };
    bounded("shards", SHARDS_MAX, |length| {
        assignment(|run| {
            run.shards = vec![shard; length];
            run.spec = text(SPEC_BYTES_MAX);
        })
    });
    bounded("shard", SHARD_BYTES_MAX, |length| {
        assignment(|run| run.shards[0].bytes = length as u32)
    });
}

#[test]
fn numbers() {
    out_of_range("rows of a shard", &assignment(|run| run.shards[0].rows = 0));
    out_of_range("segments", &lease(|lease| lease.segments.clear()));
    out_of_range("rows of a segment", &lease(|lease| lease.segments[1].count = 0));
    out_of_range("rows of a segment", &lease(|lease| lease.segments[1].start = u32::MAX - 575));
    assert_eq!(verdict(&lease(|lease| lease.segments[1].start = u32::MAX - 576)), Ok(()));
    out_of_range("batch size", &lease(|lease| lease.batch_size = 0));
    for rate in [-1e-9, f64::NAN, f64::INFINITY] {
        let message = lease(|lease| lease.learning_rate = rate);
        assert_eq!(message.check(), Err(MessageError::Range("learning rate")));
        out_of_range("learning rate", &message);
    }
    assert_eq!(verdict(&lease(|lease| lease.learning_rate = 0.0)), Ok(()));
    for loss in [f64::NAN, f64::NEG_INFINITY] {
        let mut message = examples::to_coordinator().remove(5).message;
        let ToCoordinator::Delta { report, .. } = &mut message else {
            panic!("the sixth example is another");
        };
        report.loss_sum = loss;
        out_of_range("loss", &message);
    }
    let mut delta = examples::to_coordinator().remove(5).message;
    let mut parameters = examples::to_worker().remove(4).message;
    if let ToCoordinator::Delta { total, .. } = &mut delta {
        *total = 0;
    }
    if let ToWorker::Parameters { total, .. } = &mut parameters {
        *total = 0;
    }
    out_of_range("total", &delta);
    out_of_range("total", &parameters);
}

fn with_tensors(tensors: &[TensorInfo]) -> ToWorker {
    assignment(|run| run.table.tensors = tensors.into())
}

#[test]
fn shape_tables() {
    let refused = |tensors: &[TensorInfo], error: TableError| {
        assert_eq!(verdict(&with_tensors(tensors)), Err(MessageError::Table(error).into()));
    };
    let broken = |name: &str| TableError::Tensor(name.into());
    let many = |count: usize| -> Vec<TensorInfo> {
        (0..count).map(|index| tensor(&index.to_string(), &[1], Role::Parameter)).collect()
    };
    assert_eq!(verdict(&with_tensors(&many(TENSORS_MAX))), Ok(()));
    refused(&many(TENSORS_MAX + 1), TableError::Tensors(TENSORS_MAX + 1));

    let shaped = |shape: &[u32]| [tensor("x", shape, Role::Buffer)];
    assert_eq!(verdict(&with_tensors(&shaped(&[1; RANK_MAX]))), Ok(()));
    refused(&shaped(&[1; RANK_MAX + 1]), broken("x"));
    assert_eq!(verdict(&with_tensors(&shaped(&[1 << 14, 1 << 14]))), Ok(()));
    let half = ELEMENTS_MAX as u32 / 2;
    refused(&shaped(&[ELEMENTS_MAX as u32 + 1]), broken("x"));
    refused(
        &[tensor("x", &[half], Role::Buffer), tensor("y", &[half + 1], Role::Parameter)],
        broken("y"),
    );
    // Products that overflow, openly or hidden behind a side of 0.
    refused(&shaped(&[u32::MAX; RANK_MAX]), broken("x"));
    refused(&shaped(&[u32::MAX, u32::MAX, 0]), broken("x"));
    refused(&shaped(&[0]), broken("x"));

    let named = |name: &str| tensor(name, &[1], Role::Parameter);
    assert_eq!(verdict(&with_tensors(&[named(&text(NAME_BYTES_MAX))])), Ok(()));
    refused(&[named(&text(NAME_BYTES_MAX + 1))], TableError::Tensor(text(80)));
    refused(&[named("x"), named("y"), named("x")], TableError::Duplicate("x".into()));
}

#[test]
fn payloads() {
    let chunk = ToCoordinator::Chunk { transfer: 1, offset: 2 };
    let full = frame::encode(&chunk, &vec![0; CHUNK_BYTES_MAX]).unwrap();
    assert_eq!(frame::decode::<ToCoordinator>(&full).unwrap().1.len(), CHUNK_BYTES_MAX);
    let over = Err(FrameError::Payload(CHUNK_BYTES_MAX + 1));
    assert_eq!(frame::encode(&chunk, &vec![0; CHUNK_BYTES_MAX + 1]), over);
    let longer = Bytes::from([&full[..], &[0]].concat());
    assert_eq!(frame::decode::<ToCoordinator>(&longer).map(|_| Bytes::new()), over);
    assert_eq!(frame::encode(&chunk, &[]), Err(FrameError::Payload(0)));

    let bye = ToCoordinator::Bye { reason: String::new() };
    assert_eq!(frame::encode(&bye, &[0; 3]), Err(FrameError::Trailing(3)));
    let trailing = frame::decode::<ToCoordinator>(&Bytes::from_static(&[8, 0, 0]));
    assert_eq!(trailing.unwrap_err(), FrameError::Trailing(1));
}

#[test]
fn frames_and_headers() {
    let long = Bytes::from(vec![8; MESSAGE_BYTES_MAX + 1]);
    let error = frame::decode::<ToCoordinator>(&long).unwrap_err();
    assert_eq!(error, FrameError::TooLong(MESSAGE_BYTES_MAX + 1));

    // Every field keeps its own limit, and all together are as long as a header may be, and longer.
    let shard = ShardInfo { digest: Digest([7; 32]), rows: 1, bytes: 1 };
    let message = |spec: usize| {
        assignment(|run| {
            run.shards = vec![shard; SHARDS_MAX];
            run.spec = text(spec);
            run.table.tensors = (0..2600)
                .map(|index| {
                    tensor(&format!("{index:0>NAME_BYTES_MAX$}"), &[1; RANK_MAX], Role::Parameter)
                })
                .collect();
        })
    };
    let some = 20_000;
    let room = HEADER_BYTES_MAX - postcard::to_allocvec(&message(some)).unwrap().len();
    assert_eq!(verdict(&message(some + room)), Ok(()));
    let error = Err(FrameError::HeaderTooLong(HEADER_BYTES_MAX + 1));
    assert_eq!(verdict(&message(some + room + 1)), error);
}

#[test]
fn the_longest_header_fits_before_a_full_chunk() {
    let lease = LeaseId { incarnation: u32::MAX, number: u64::MAX };
    let parameters = ToWorker::Parameters {
        lease,
        version: Version { incarnation: u32::MAX, number: u64::MAX },
        contains: vec![lease; PENDING_MAX],
        transfer: u32::MAX,
        total: u64::MAX,
        checksum: Checksum(u64::MAX),
    };
    let frame = frame::encode(&parameters, &vec![0; CHUNK_BYTES_MAX]).unwrap();
    assert!(frame.len() <= MESSAGE_BYTES_MAX);
    assert_eq!(frame::decode::<ToWorker>(&frame).unwrap().0, parameters);
}
