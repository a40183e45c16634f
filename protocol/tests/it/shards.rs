//! Shards whose headers lie, and what an encoder refuses to write.

use bytes::Bytes;
use protocol::Digest;
use protocol::limits::{
    COLUMNS_MAX, NAME_BYTES_MAX, RANK_MAX, SHARD_BYTES_MAX, SHARD_HEADER_BYTES_MAX,
};
use protocol::shard::{self, ColumnInfo, Dtype, Shard, ShardError};

fn column(name: &str, dtype: Dtype, shape: &[u32]) -> ColumnInfo {
    ColumnInfo { name: name.into(), dtype, shape: shape.into() }
}

/// A shard with the given header, written without any check, and `values` bytes of zeros.
fn forged(rows: u32, columns: &[ColumnInfo], values: usize) -> Result<Shard, ShardError> {
    let mut bytes = postcard::to_allocvec(&(rows, columns)).unwrap();
    bytes.resize(bytes.len() + values, 0);
    Shard::decode(&bytes.into())
}

#[test]
fn a_forged_header_can_be_valid() {
    assert_eq!(forged(3, &[column("x", Dtype::F32, &[2])], 24).unwrap().rows(), 3);
    assert_eq!(forged(1, &[column("x", Dtype::U8, &[])], 1).unwrap().rows(), 1);
}

#[test]
fn numbers_of_rows_and_values_must_match_the_bytes() {
    let most = column("x", Dtype::F32, &[1 << 20]);
    for rows in [1, 1 << 16, u32::MAX] {
        let expected = rows as usize * (4 << 20);
        let error = forged(rows, std::slice::from_ref(&most), 100).unwrap_err();
        assert_eq!(error, ShardError::Length { expected, got: 100 });
    }
    let pair = [column("x", Dtype::F32, &[2]), column("y", Dtype::U8, &[])];
    for values in [0, 26, 28] {
        let error = forged(3, &pair, values).unwrap_err();
        assert_eq!(error, ShardError::Length { expected: 27, got: values });
    }
    assert!(forged(3, &pair, 27).is_ok());
}

#[test]
fn shapes_that_overflow_are_refused() {
    let side = u32::MAX;
    for shape in [vec![side; 2], vec![side; 8], vec![0], vec![side, side, side, 0], vec![1 << 21]] {
        let error = forged(1, &[column("x", Dtype::U8, &shape)], 8).unwrap_err();
        assert_eq!(error, ShardError::Column("x".into()), "{shape:?}");
    }
}

#[test]
fn columns_keep_their_limits() {
    let long = |length: usize| column(&"n".repeat(length), Dtype::U8, &[]);
    assert!(forged(1, &[long(NAME_BYTES_MAX)], 1).is_ok());
    assert!(matches!(forged(1, &[long(NAME_BYTES_MAX + 1)], 1), Err(ShardError::Column(_))));
    let deep = |rank: usize| column("x", Dtype::U8, &vec![1; rank]);
    assert!(forged(1, &[deep(RANK_MAX)], 1).is_ok());
    assert!(matches!(forged(1, &[deep(RANK_MAX + 1)], 1), Err(ShardError::Column(_))));
    let many = |count: usize| -> Vec<ColumnInfo> {
        (0..count).map(|index| column(&index.to_string(), Dtype::U8, &[])).collect()
    };
    assert!(forged(1, &many(COLUMNS_MAX), COLUMNS_MAX).is_ok());
    let error = forged(1, &many(COLUMNS_MAX + 1), COLUMNS_MAX + 1).unwrap_err();
    assert_eq!(error, ShardError::Empty);
    assert_eq!(forged(1, &[], 0).unwrap_err(), ShardError::Empty);
    assert_eq!(forged(0, &many(1), 0).unwrap_err(), ShardError::Empty);
    let twice = [column("x", Dtype::U8, &[]), column("x", Dtype::F32, &[])];
    assert_eq!(forged(1, &twice, 5).unwrap_err(), ShardError::Column("x".into()));
}

#[test]
fn the_largest_header_fits_and_longer_ones_are_not_read() {
    let columns: Vec<ColumnInfo> = (0..COLUMNS_MAX)
        .map(|index| column(&format!("{index:0>NAME_BYTES_MAX$}"), Dtype::U8, &[1; RANK_MAX]))
        .collect();
    assert_eq!(forged(1, &columns, COLUMNS_MAX).unwrap().rows(), 1);
    let endless = column(&"n".repeat(SHARD_HEADER_BYTES_MAX), Dtype::U8, &[]);
    let error = forged(1, &[endless], 1).unwrap_err();
    assert_eq!(error, ShardError::Header(postcard::Error::DeserializeUnexpectedEnd));
}

#[test]
fn a_shard_is_at_most_a_mebibyte() {
    let columns = [column("x", Dtype::U8, &[])];
    let header = postcard::to_allocvec(&(1_u32 << 20, &columns[..])).unwrap().len();
    let values = vec![0_u8; SHARD_BYTES_MAX];
    let encode = |rows: usize| shard::encode(rows as u32, &[(columns[0].clone(), &values[..rows])]);
    let largest = encode(SHARD_BYTES_MAX - header).unwrap();
    assert_eq!(Shard::decode(&largest).unwrap().rows() as usize, SHARD_BYTES_MAX - header);
    let over = encode(SHARD_BYTES_MAX - header + 1).unwrap_err();
    assert_eq!(over, ShardError::TooLong(SHARD_BYTES_MAX + 1));
    let error = Shard::decode(&Bytes::from(vec![0; SHARD_BYTES_MAX + 1])).unwrap_err();
    assert_eq!(error, ShardError::TooLong(SHARD_BYTES_MAX + 1));
}

#[test]
fn an_encoder_refuses_what_a_decoder_would() {
    let single =
        |value: f32| shard::encode(1, &[(column("x", Dtype::F32, &[]), &value.to_le_bytes())]);
    let half = |bits: u16| shard::encode(1, &[(column("x", Dtype::F16, &[]), &bits.to_le_bytes())]);
    assert!(single(f32::MAX).is_ok());
    assert!(half(0x7bff).is_ok());
    let refused = [single(f32::NAN), single(f32::INFINITY), half(0x7c00), half(0xfe00)];
    for error in refused.map(Result::unwrap_err) {
        assert_eq!(error, ShardError::NotFinite("x".into()));
    }
    let short = shard::encode(2, &[(column("x", Dtype::I32, &[]), &[0; 7])]).unwrap_err();
    assert_eq!(short, ShardError::Length { expected: 8, got: 7 });
    assert_eq!(shard::encode(1, &[]).unwrap_err(), ShardError::Empty);
}

#[test]
fn a_decoder_refuses_values_that_are_not_finite() {
    for (dtype, value) in [(Dtype::F32, vec![0, 0, 0x80, 0x7f]), (Dtype::F16, vec![0, 0xfc])] {
        let mut bytes =
            postcard::to_allocvec(&(1_u32, [column("x", dtype, &[])].as_slice())).unwrap();
        bytes.extend(value);
        assert_eq!(Shard::decode(&bytes.into()).unwrap_err(), ShardError::NotFinite("x".into()));
    }
}

#[test]
fn digests_are_written_as_hexadecimal_digits() {
    let digest = Digest::of(b"");
    let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(digest.to_string(), text);
    assert_eq!(Digest::from_hex(text), Some(digest));
    assert_eq!(Digest::from_hex(&text[1..]), None);
    assert_eq!(Digest::from_hex(&text.replace('a', "g")), None);
}
