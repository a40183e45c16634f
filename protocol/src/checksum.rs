//! The checksum of a version's parameters: XXH3 with 64 bits and seed 0.
//!
//! It tells a worker that a transfer was put together wrongly or damaged on its way. It is no help
//! against people, and a digest would be none either: it comes with the bytes, so who can change these
//! can change it too. Against people there is TLS. XXH3 reads memory about as fast as it comes, which
//! BLAKE3 does not, and each version is read once for it by the coordinator and by each worker.

use std::fmt;
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

/// XXH3 (64 bits, seed 0) of encoded parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checksum(pub u64);

impl Checksum {
    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(bytes))
    }
}

/// Comes to the checksum of bytes that come little by little.
pub(crate) struct Summing(XxHash3_64);

impl Summing {
    pub(crate) fn new() -> Self {
        Self(XxHash3_64::new())
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(crate) fn end(&self) -> Checksum {
        Checksum(self.0.finish())
    }
}

impl fmt::Debug for Summing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_xxh3_however_the_bytes_come() {
        // Published as XXH3's of nothing.
        assert_eq!(Checksum::of(b""), Checksum(0x2d06_8005_38d3_94c2));
        let bytes: Vec<u8> = (0..10_000_u32).map(|place| (place * 7 % 251) as u8).collect();
        for length in [0, 1, 16, 17, 240, 241, 1024, 10_000] {
            let whole = Checksum::of(&bytes[..length]);
            for step in [1, 64, 777] {
                let mut summing = Summing::new();
                bytes[..length].chunks(step).for_each(|bytes| summing.add(bytes));
                assert_eq!(summing.end(), whole, "{length} bytes by {step}");
            }
        }
    }
}
