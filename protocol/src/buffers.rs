//! Memory of payloads that are done with, for the next ones. What the system gives anew it clears first,
//! and maps page by page: at tens of megabytes a payload that takes longer than to fill it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// What is smaller is got as fast anew.
const KEPT_BYTES_MIN: usize = 1 << 20;

/// Buffers get a multiple of this, so that payloads of nearly the same length can use the same.
const STEP_BYTES: usize = 256 << 10;

/// Where buffers come from and go back to. One is kept while nobody needs it, the longest: more would be
/// memory that a coordinator has beside all others at its peak.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<u8>>>);

/// Bytes that go back to their [`Buffers`] when nobody needs them any more.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// An empty buffer with room for so many bytes.
    #[must_use]
    pub fn take(&self, room: usize) -> Buffer {
        let mut bytes = Vec::new();
        if room >= KEPT_BYTES_MIN {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.capacity() >= room {
                bytes = std::mem::take(&mut kept);
            }
        }
        if bytes.capacity() < room {
            let step = if room >= KEPT_BYTES_MIN { STEP_BYTES } else { 1 };
            bytes.reserve_exact(room.next_multiple_of(step));
        }
        Buffer { bytes, home: self.clone() }
    }

    fn give(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.capacity() >= kept.capacity() {
            *kept = bytes;
        }
    }
}

impl Buffer {
    /// Its bytes, to be shared: it goes back when the last of them is dropped.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.capacity() >= KEPT_BYTES_MIN {
            self.home.give(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_once_the_last_share_is_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(KEPT_BYTES_MIN);
        buffer.extend_from_slice(b"payload");
        let memory = buffer.as_ptr();
        let bytes = buffer.into_bytes();
        let share = bytes.slice(3..);
        drop(bytes);
        assert_ne!(buffers.take(KEPT_BYTES_MIN).as_ptr(), memory, "it is shared");
        drop(share);
        let again = (0..2).map(|_| buffers.take(KEPT_BYTES_MIN)).collect::<Vec<_>>();
        assert!(again.iter().any(|buffer| buffer.as_ptr() == memory));
        assert!(again.iter().all(|buffer| buffer.is_empty()));
    }

    #[test]
    fn one_is_kept_and_the_longest() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (1..=6).map(|size| buffers.take(size * KEPT_BYTES_MIN)).collect();
        drop(taken);
        drop(buffers.take(100));
        let kept = buffers.0.lock().unwrap();
        assert!(kept.is_empty() && kept.capacity() >= 6 * KEPT_BYTES_MIN);
    }
}
