//! Golden bytes: what stands in the examples is what is sent, and nothing is without an example.

use protocol::frame::{self, Message};
use protocol::message::DeviceKind;
use protocol::shard::{self, ColumnInfo, Dtype, Shard};
use protocol::{Codec, Outcome, Reason, Role, Version};
use serde::{Serialize, de::DeserializeOwned};

use super::examples::{self, Example, HALVES, HALVES_EXPONENT, SHARD};
use super::{bytes, hex, table, tensor};

fn assert_golden<M: Message + PartialEq + std::fmt::Debug>(example: &Example<M>) {
    let frame = frame::encode(&example.message, &example.payload).unwrap();
    assert_eq!(hex(&frame), hex(&example.frame()), "{:?}", example.message);
    let (message, payload) = frame::decode::<M>(&frame).unwrap();
    assert_eq!(message, example.message);
    assert_eq!(payload, example.payload);
    assert_eq!(payload.as_ptr(), frame[example.header.len()..].as_ptr(), "payload is copied");
}

/// The examples must have the indices 0, 1, 2, ... of the enum, and the next index must be free:
/// a new variant fails here until it has an example.
fn assert_complete<M: Message + std::fmt::Debug>(examples: &[Example<M>]) {
    for (index, example) in examples.iter().enumerate() {
        assert_eq!(example.header[0] as usize, index, "{:?}", example.message);
        let cut = postcard::from_bytes::<M>(&[index as u8]);
        // The index alone is a whole message only where there are no fields.
        let is_whole = example.header.len() == 1;
        assert_eq!(cut.err(), (!is_whole).then_some(postcard::Error::DeserializeUnexpectedEnd));
    }
    let unknown = postcard::from_bytes::<M>(&[examples.len() as u8]).unwrap_err();
    assert_eq!(unknown, postcard::Error::SerdeDeCustom, "a variant has no example");
}

#[test]
fn messages_to_the_coordinator() {
    let examples = examples::to_coordinator();
    assert_complete(&examples);
    examples.iter().for_each(assert_golden);
}

#[test]
fn messages_to_a_worker() {
    let examples = examples::to_worker();
    assert_complete(&examples);
    examples.iter().for_each(assert_golden);
    assert_golden(&examples::rejected());
}

/// The values of an enum without fields are exactly these, in this order.
fn assert_indices<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(values: &[T]) {
    for (index, value) in values.iter().enumerate() {
        assert_eq!(postcard::to_allocvec(value).unwrap(), [index as u8], "{value:?}");
        assert_eq!(&postcard::from_bytes::<T>(&[index as u8]).unwrap(), value);
    }
    assert!(postcard::from_bytes::<T>(&[values.len() as u8]).is_err(), "a value is not listed");
}

#[test]
fn small_enums() {
    assert_indices(&[
        Reason::Duplicate,
        Reason::UnknownLease,
        Reason::Length,
        Reason::NotFinite,
        Reason::Norm,
        Reason::Ended,
        Reason::Fenced,
    ]);
    assert_indices(&[Role::Parameter, Role::Buffer, Role::BufferNonNegative]);
    assert_indices(&[Codec::F32, Codec::F16]);
    assert_indices(&[DeviceKind::Cpu, DeviceKind::Gpu]);
    assert_indices(&[Dtype::U8, Dtype::I32, Dtype::F16, Dtype::F32]);
    let merged = Outcome::Merged(Version { incarnation: 1, number: 2 });
    assert_eq!(postcard::to_allocvec(&merged).unwrap(), [0, 1, 2]);
    assert_eq!(postcard::to_allocvec(&Outcome::Rejected(Reason::Norm)).unwrap(), [1, 4]);
    assert!(postcard::from_bytes::<Outcome>(&[2, 0, 0]).is_err(), "an outcome is not listed");
}

#[test]
fn payload_of_singles() {
    let table = table(&[
        tensor("kernel", &[2], Role::Parameter),
        tensor("variance", &[], Role::BufferNonNegative),
    ]);
    let payload = Codec::F32.encode(&table, &[1.0, -2.5, 0.25]);
    assert_eq!(hex(&payload), hex(&bytes("0000803f 000020c0 0000803e")));
}

#[test]
fn payload_of_halves() {
    let table = table(&[
        tensor("kernel", &[64, 64], Role::Parameter),
        tensor("bias", &[2], Role::Parameter),
    ]);
    let (cycle, cycle_hex) = HALVES;
    let mut values = cycle.repeat(512);
    values.extend([1.5, -1.0]);
    let payload = Codec::F16.encode(&table, &values);
    let mut expected = bytes(HALVES_EXPONENT);
    expected.extend(bytes(cycle_hex).repeat(512));
    expected.extend(bytes("0000c03f 000080bf"));
    assert_eq!(hex(&payload), hex(&expected));
}

#[test]
fn shard_with_a_column_of_each_type() {
    let column = |name: &str, dtype, shape: &[u32]| ColumnInfo {
        name: name.into(),
        dtype,
        shape: shape.into(),
    };
    let columns = [
        column(shard::INPUT, Dtype::U8, &[2, 2]),
        column(shard::TARGET, Dtype::I32, &[]),
        column("weight", Dtype::F16, &[1]),
        column("extra", Dtype::F32, &[1]),
    ];
    let values =
        ["00010203fcfdfeff", "07000000ffffffff", "003c00c0", "0000003f0000c8c2"].map(bytes);
    let with_values: Vec<(ColumnInfo, &[u8])> =
        columns.iter().cloned().zip(values.iter().map(Vec::as_slice)).collect();
    let encoded = shard::encode(2, &with_values).unwrap();
    assert_eq!(hex(&encoded), hex(&bytes(SHARD)));

    let shard = Shard::decode(&encoded).unwrap();
    assert_eq!(shard.rows(), 2);
    let row = |name: &str, row| {
        let mut values = Vec::new();
        shard.column(name).unwrap().extend_f32(row, &mut values);
        values
    };
    for info in &columns {
        assert_eq!(shard.column(&info.name).unwrap().info, info);
    }
    assert_eq!(row("input", 1), [252.0, 253.0, 254.0, 255.0]);
    assert_eq!((row("target", 0), row("target", 1)), (vec![7.0], vec![-1.0]));
    assert_eq!((row("weight", 0), row("weight", 1)), (vec![1.0], vec![-2.0]));
    assert_eq!((row("extra", 0), row("extra", 1)), (vec![0.5], vec![-100.0]));
    let mut classes = Vec::new();
    shard.column("target").unwrap().extend_i32(1, &mut classes);
    shard.column("input").unwrap().extend_i32(1, &mut classes);
    assert_eq!(classes, [-1], "only i32 columns hold classes");
    assert!(shard.column("label").is_none());
}
