//! Every truncation and every flipped bit of the golden bytes is refused or another valid value.

use bytes::Bytes;
use protocol::frame::{self, Message};
use protocol::shard::Shard;
use protocol::{Codec, Role, TensorTable};

use super::examples::{self, Example, HALVES, SHARD};
use super::{bytes, table, tensor};

fn flips(original: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..original.len() * 8).map(|bit| {
        let mut flipped = original.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// Whether the frame decodes; if so, to something else than the example, which is valid itself.
fn decodes<M: Message + PartialEq + std::fmt::Debug>(frame: Vec<u8>, example: &Example<M>) -> bool {
    let Ok((message, payload)) = frame::decode::<M>(&frame.into()) else {
        return false;
    };
    assert!(
        message != example.message || payload != example.payload,
        "two frames mean {message:?}"
    );
    let again = frame::encode(&message, &payload).unwrap();
    assert_eq!(frame::decode::<M>(&again).unwrap(), (message, payload));
    true
}

fn mutate<M: Message + PartialEq + std::fmt::Debug>(example: &Example<M>) -> usize {
    let frame = example.frame();
    for length in 0..frame.len() {
        // A message with payload stays valid while at least one byte of it is left.
        let valid = length > example.header.len();
        assert_eq!(decodes(frame[..length].to_vec(), example), valid, "{length} bytes");
    }
    let mut longer = frame.to_vec();
    longer.push(0);
    assert_eq!(decodes(longer, example), example.message.has_payload(), "one byte more");
    flips(&frame).filter(|flipped| decodes(flipped.clone(), example)).count()
}

#[test]
fn messages() {
    let mut valid = 0;
    for example in examples::to_coordinator() {
        valid += mutate(&example);
    }
    for example in examples::to_worker() {
        valid += mutate(&example);
    }
    valid += mutate(&examples::rejected());
    assert!(valid > 100, "only {valid} flips decode: do the examples decode at all?");
}

fn mutate_payload(codec: Codec, table: &TensorTable, values: &[f32]) {
    let payload = codec.encode(table, values);
    let mut decoded = Vec::new();
    codec.decode(table, &payload, &mut decoded).unwrap();
    let original: Vec<u32> = decoded.iter().map(|value| value.to_bits()).collect();
    for length in 0..payload.len() {
        assert!(codec.decode(table, &payload[..length], &mut decoded).is_err(), "{length} bytes");
    }
    let longer = [payload.as_slice(), &[0]].concat();
    assert!(codec.decode(table, &longer, &mut decoded).is_err(), "one byte more");
    let (mut valid, mut refused) = (0, 0);
    for flipped in flips(&payload) {
        if codec.decode(table, &flipped, &mut decoded).is_ok() {
            assert!(decoded.iter().all(|value| value.is_finite()));
            assert!(
                decoded.iter().map(|value| value.to_bits()).ne(original.iter().copied()),
                "a flipped bit changed nothing"
            );
            valid += 1;
        } else {
            refused += 1;
        }
    }
    assert!(valid > 0 && refused > 0, "{valid} valid, {refused} refused");
}

#[test]
fn payloads() {
    let variance = tensor("variance", &[2], Role::BufferNonNegative);
    let singles = table(&[tensor("kernel", &[5], Role::Parameter), variance.clone()]);
    mutate_payload(Codec::F32, &singles, &[1.0, -2.5, 1e-9, 0.0, 3e38, 0.25, 4.0]);
    let halves = table(&[tensor("kernel", &[64, 64], Role::Parameter), variance]);
    let mut values = HALVES.0.repeat(512);
    values.extend([0.25, 4.0]);
    mutate_payload(Codec::F16, &halves, &values);
}

#[test]
fn shards() {
    let original = bytes(SHARD);
    let mut valid = 0;
    for length in 0..original.len() {
        assert!(Shard::decode(&original[..length].to_vec().into()).is_err(), "{length} bytes");
    }
    for flipped in flips(&original) {
        let Ok(shard) = Shard::decode(&Bytes::from(flipped)) else {
            continue;
        };
        valid += 1;
        let mut values = Vec::new();
        for name in ["input", "target", "weight", "extra"] {
            if let Some(column) = shard.column(name) {
                (0..shard.rows()).for_each(|row| column.extend_f32(row, &mut values));
            }
        }
        assert!(values.iter().all(|value| value.is_finite()));
    }
    assert!(valid > 100, "only {valid} flips decode");
}
