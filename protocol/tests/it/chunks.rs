//! Transfers: whole when the pieces come in order, refused when they do not.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::buffers::Buffers;
use protocol::chunk::{Assembly, ChunkError, Framing, PIECE_BYTES, Progress, pieces};
use protocol::codec::Target;
use protocol::limits::CHUNK_BYTES_MAX;
use protocol::{Checksum, Codec, Role, ToWorker, frame};

use super::{cases, table, tensor};

/// The assembly that is under way after a first piece.
fn started(total: u64, first: &[u8]) -> Assembly {
    match Assembly::start(&Buffers::default(), 7, total, 1000, Bytes::copy_from_slice(first))
        .unwrap()
    {
        Progress::Partial(assembly) => assembly,
        Progress::Complete(payload) => panic!("complete with {} bytes", payload.len()),
    }
}

/// Values that are encoded into frames come to the same bytes as values that are encoded whole.
#[test]
fn values_are_encoded_into_frames() {
    let tensors = [
        tensor("bias", &[5], Role::Parameter),
        tensor("kernel", &[700, 1001], Role::Parameter),
        tensor("variance", &[33], Role::BufferNonNegative),
        tensor("dense", &[4096], Role::Parameter),
    ];
    let table = table(&tensors);
    let values: Vec<f32> = (0..table.elements()).map(|place| (place % 977) as f32 / 64.0).collect();
    for codec in [Codec::F16, Codec::F32] {
        let payload = codec.encode(&table, &values);
        assert_eq!(payload.len(), codec.bytes(&table));
        assert!(payload.len() > CHUNK_BYTES_MAX, "it takes several pieces");
        let mut framing = Framing::new(&Buffers::default(), 9, payload.len());
        codec.encode_into(&table, &values, None, &mut framing);
        let framed = framing.end();
        let mut joined = framed.first.to_vec();
        for chunk in framed.further.iter() {
            joined.extend_from_slice(&frame::decode::<ToWorker>(chunk).unwrap().1);
        }
        assert!(joined == payload, "{codec}");
        assert_eq!(framed.checksum, Checksum::of(&payload), "{codec}");
    }
}

/// Parameters in frames are what pieces of the whole payload would be.
#[test]
fn frames_hold_the_pieces_of_a_payload() {
    for total in
        [1, 5000, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 20 * PIECE_BYTES, 20 * PIECE_BYTES + 7]
    {
        let payload: Vec<u8> = (0..total).map(|index| (index * 31 % 251) as u8).collect();
        let mut framing = Framing::new(&Buffers::default(), 9, total);
        payload.chunks(777).for_each(|bytes| framing.write(bytes));
        let framed = framing.end();
        assert_eq!((framed.total, framed.checksum), (total as u64, Checksum::of(&payload)));
        let mut pieces = pieces(&payload);
        assert_eq!(pieces.next(), Some((0, &framed.first[..])), "{total}");
        for chunk in framed.further.iter() {
            let (message, piece) = frame::decode::<ToWorker>(chunk).unwrap();
            let (offset, expected) = pieces.next().unwrap();
            assert_eq!(message, ToWorker::Chunk { transfer: 9, offset }, "{total}");
            assert_eq!(piece, expected, "{total}");
        }
        assert_eq!(pieces.next(), None, "{total}");
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn pieces_of_any_size_in_order(pieces in vec(vec(any::<u8>(), 1..50), 1..20)) {
        let payload = pieces.concat();
        let total = payload.len() as u64;
        let first = Bytes::from(pieces[0].clone());
        let mut progress = Assembly::start(&Buffers::default(), 7, total, total, first).unwrap();
        let mut offset = pieces[0].len() as u64;
        for piece in &pieces[1..] {
            let Progress::Partial(assembly) = progress else {
                panic!("complete at {offset} of {total}");
            };
            progress = assembly.push(7, offset, piece).unwrap();
            offset += piece.len() as u64;
        }
        let Progress::Complete(assembled) = progress else {
            panic!("not complete after all pieces");
        };
        prop_assert_eq!(&assembled[..], &payload[..]);
    }

    #[test]
    fn a_piece_elsewhere_is_refused(offset in 0..1000_u64, length in 0..20_usize) {
        let refused = started(100, &[1; 40]).push(7, offset, &vec![2; length]);
        match offset {
            40 => prop_assert!(refused.is_ok()),
            got => prop_assert_eq!(refused.unwrap_err(), ChunkError::Offset { expected: 40, got }),
        }
    }
}

#[test]
fn a_sender_cuts_what_is_over_the_limit_into_small_pieces() {
    for length in [1, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX + 1, 3 * CHUNK_BYTES_MAX - 5] {
        let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let cut: Vec<(u64, &[u8])> = pieces(&payload).collect();
        let bytes = if length > CHUNK_BYTES_MAX { PIECE_BYTES } else { CHUNK_BYTES_MAX };
        assert_eq!(cut.len(), length.div_ceil(bytes));
        assert!(cut.iter().all(|(_, piece)| (1..=bytes).contains(&piece.len())));
        let first = Bytes::copy_from_slice(cut[0].1);
        let mut progress =
            Assembly::start(&Buffers::default(), 1, length as u64, length as u64, first).unwrap();
        for (offset, piece) in &cut[1..] {
            let Progress::Partial(assembly) = progress else {
                panic!("complete too early");
            };
            progress = assembly.push(1, *offset, piece).unwrap();
        }
        let Progress::Complete(assembled) = progress else {
            panic!("not complete after all pieces");
        };
        assert!(assembled == payload, "{length} bytes came out otherwise");
    }
    assert_eq!(pieces(&[]).count(), 0);
}

#[test]
fn a_single_piece_is_not_copied() {
    let piece = Bytes::from(vec![5; 100]);
    let Progress::Complete(payload) =
        Assembly::start(&Buffers::default(), 7, 100, 100, piece.clone()).unwrap()
    else {
        panic!("not complete");
    };
    assert_eq!((payload.as_ptr(), payload.len()), (piece.as_ptr(), 100));
}

#[test]
fn another_transfer_is_refused() {
    assert_eq!(started(100, &[1; 40]).push(8, 40, &[2]).unwrap_err(), ChunkError::Transfer(8));
}

#[test]
fn a_transfer_that_runs_over_is_refused() {
    let over = ChunkError::Over { total: 100, over: 1 };
    assert_eq!(started(100, &[1; 40]).push(7, 40, &[2; 61]).unwrap_err(), over);
    let first =
        Assembly::start(&Buffers::default(), 7, 100, 100, Bytes::from(vec![1; 101])).unwrap_err();
    assert_eq!(first, over);
    assert!(matches!(started(100, &[1; 40]).push(7, 40, &[2; 60]), Ok(Progress::Complete(_))));
}

#[test]
fn a_transfer_longer_than_expected_is_refused_before_memory_is_taken() {
    for total in [1001, u64::MAX] {
        let error = Assembly::start(&Buffers::default(), 7, total, 1000, Bytes::from_static(&[1]))
            .unwrap_err();
        assert_eq!(error, ChunkError::TooLong { total, limit: 1000 });
    }
    assert!(Assembly::start(&Buffers::default(), 7, 1000, 1000, Bytes::from_static(&[1])).is_ok());
}
