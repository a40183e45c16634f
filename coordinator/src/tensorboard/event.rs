//! Event files as TensorBoard reads them: records with masked CRC-32C around a few fields of two
//! protobuf messages. Written by hand: seven fields need no compiler of schemas.
//!
//! A record is its length as u64, the checksum of that, the message, the checksum of that; all
//! little-endian.

/// Protobuf's wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// What TensorFlow adds to rotated checksums, so that one over a checksum is not trivial.
const MASK_DELTA: u32 = 0xa282_ead8;

/// `SessionLog.START`: what an earlier file says from this step on does not count.
const START: u64 = 1;

/// What an event says.
#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    /// The first of each file.
    FileVersion,
    /// The run goes on here.
    Start,
    /// Values by name.
    Scalars(&'a [(&'static str, f64)]),
}

/// One event as the bytes of a record. `wall_time` is in seconds since 1970.
pub(super) fn record(wall_time: f64, step: u64, what: What<'_>) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, FIXED64);
    event.extend(wall_time.to_le_bytes());
    key(&mut event, 2, VARINT);
    varint(&mut event, step);
    match what {
        What::FileVersion => bytes(&mut event, 3, b"brain.Event:2"),
        What::Start => {
            let mut log = Vec::new();
            key(&mut log, 1, VARINT);
            varint(&mut log, START);
            bytes(&mut event, 7, &log);
        }
        What::Scalars(values) => {
            let mut summary = Vec::new();
            for (tag, value) in values {
                let mut scalar = Vec::new();
                bytes(&mut scalar, 1, tag.as_bytes());
                key(&mut scalar, 2, FIXED32);
                scalar.extend((*value as f32).to_le_bytes());
                bytes(&mut summary, 1, &scalar);
            }
            bytes(&mut event, 5, &summary);
        }
    }
    framed(&event)
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked(message).to_le_bytes());
    record
}

fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK_DELTA)
}

fn key(out: &mut Vec<u8>, field: u8, wire_type: u8) {
    out.push(field << 3 | wire_type);
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    key(out, field, BYTES);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, the lowest first.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720, B.4: 32 bytes of zero, and of ones.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        // Every file begins with a length of 24: known from any file of TensorFlow's.
        let record = framed(&[0; 24]);
        assert_eq!(record[..12], [24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn long_numbers_take_more_bytes() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
        out.clear();
        varint(&mut out, u64::MAX);
        assert_eq!(out.len(), 10);
    }
}
