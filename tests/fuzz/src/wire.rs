//! What comes over the network: frames, pieces of payloads, tensors, shards.

use std::fmt::Debug;

use bytes::Bytes;
use protocol::buffers::Buffers;
use protocol::chunk::{Assembly, Progress};
use protocol::frame::{self, Message};
use protocol::shard::{Dtype, Shard};
use protocol::{Codec, Role, TensorInfo, TensorTable};

use crate::input::Input;

/// A frame that decodes is said again, and means the same.
pub(crate) fn message<M: Message + PartialEq + Debug>(data: &[u8]) {
    let Ok((message, payload)) = frame::decode::<M>(&Bytes::copy_from_slice(data)) else { return };
    let again = frame::encode(&message, &payload).expect("what was decoded can be sent");
    assert!(again.len() <= data.len(), "Herd's own encoding is the shortest");
    let (second, rest) = frame::decode::<M>(&again).expect("what was sent can be decoded");
    assert_eq!((&second, &rest), (&message, &payload));
    assert_eq!(frame::encode(&second, &rest).expect("as before"), again);
}

/// A transfer: its announced size, the receiver's limit, then pieces with what their headers say.
pub(crate) fn chunks(data: &[u8]) {
    let mut input = Input(data);
    let (total, limit) = (u64::from(input.u32()), u64::from(input.u32()));
    let piece = input.piece();
    let mut expected = piece.to_vec();
    let mut progress =
        Assembly::start(&Buffers::default(), 7, total, limit, Bytes::copy_from_slice(piece));
    assert!(total <= limit || progress.is_err(), "a transfer over the limit was begun");
    loop {
        let assembly = match progress {
            Err(_) => return,
            Ok(Progress::Complete(payload)) => {
                assert_eq!(payload, expected);
                assert_eq!(payload.len() as u64, total);
                return;
            }
            Ok(Progress::Partial(assembly)) => assembly,
        };
        if input.is_empty() {
            return;
        }
        // Mostly in order, or no transfer of more than two pieces would ever be tried.
        let (transfer, offset) = match input.u8() {
            0 => (input.u32(), expected.len() as u64),
            1 => (7, input.u64()),
            _ => (7, expected.len() as u64),
        };
        let piece = input.piece();
        let fits = transfer == 7 && offset == expected.len() as u64;
        progress = assembly.push(transfer, offset, piece);
        assert!(fits || progress.is_err(), "a piece out of order was taken");
        expected.extend_from_slice(piece);
    }
}

/// A shape table of up to three tensors, then a payload for it.
pub(crate) fn tensors(data: &[u8]) {
    let mut input = Input(data);
    let codec = if input.u8() % 2 == 0 { Codec::F32 } else { Codec::F16 };
    let table = table(&mut input, 8192);
    table.check().expect("the table is within the limits");
    // Values for the first bytes of the payload, zeros for the rest: inputs stay short.
    let mut payload = input.0.to_vec();
    let bytes = codec.bytes(&table);
    let mut values = Vec::new();
    let exact = codec.decode(&table, &payload, &mut values).is_ok();
    assert!(!exact || payload.len() == bytes, "a payload of another length was decoded");
    payload.resize(bytes, 0);
    if codec.decode(&table, &payload, &mut values).is_err() {
        return;
    }
    assert_eq!(values.len(), table.elements());
    assert!(values.iter().all(|value| value.is_finite()));
    for (tensor, range) in table.ranges().filter(|(tensor, _)| tensor.role == NON_NEGATIVE) {
        assert!(values[range].iter().all(|&value| value >= 0.0), "{}", tensor.name);
    }
    // The first encoding may round, as the sender chose another scale; the second must not.
    let mut next = || {
        let mut again = Vec::new();
        let payload = codec.encode(&table, &values);
        codec.decode(&table, &payload, &mut again).map(|()| std::mem::replace(&mut values, again))
    };
    if next().is_ok() {
        let before = next().expect("what was encoded twice is encoded again");
        assert_eq!(before, values);
    }
}

const NON_NEGATIVE: Role = Role::BufferNonNegative;

/// A small table: for each tensor its role and its elements, below `elements_max`.
pub(crate) fn table(input: &mut Input<'_>, elements_max: u16) -> TensorTable {
    let count = 1 + input.u8() % 3;
    let tensor = |index| {
        let role = [Role::Parameter, Role::Buffer, NON_NEGATIVE][usize::from(input.u8() % 3)];
        let shape = vec![u32::from(1 + input.u16() % elements_max)];
        TensorInfo { name: format!("tensor.{index}"), shape, role }
    };
    TensorTable { tensors: (0..count).map(tensor).collect() }
}

/// A shard that decodes gives finite values, and is encoded to one that decodes alike.
pub(crate) fn shard(data: &[u8]) {
    let Ok(shard) = Shard::decode(&Bytes::copy_from_slice(data)) else { return };
    assert!(shard.rows() > 0);
    for name in ["input", "target", "weight", "extra"] {
        let Some(column) = shard.column(name) else { continue };
        let mut values = Vec::new();
        let mut classes = Vec::new();
        for row in [0, shard.rows() / 2, shard.rows() - 1] {
            column.extend_f32(row, &mut values);
            column.extend_i32(row, &mut classes);
        }
        assert!(values.iter().all(|value| value.is_finite()));
        assert_eq!(values.len(), 3 * column.info.elements());
        let is_classes = column.info.dtype == Dtype::I32;
        assert_eq!(classes.len(), if is_classes { values.len() } else { 0 });
    }
}
