//! Memory of payloads that are done with, for the next ones. What the system gives anew it clears first,
//! and maps page by page: at tens of megabytes a payload that takes longer than to fill it.

use std::ops::Deref;
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
    /// All bytes that were ever written here, for this payload or an earlier one: memory need not be
    /// cleared before it is lent to be written to.
    bytes: Vec<u8>,
    /// How many of them are this payload's.
    filled: usize,
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
        Buffer { bytes, filled: 0, home: self.clone() }
    }

    fn give(&self, bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.capacity() >= kept.capacity() {
            *kept = bytes;
        }
    }
}

impl Buffer {
    /// Writes behind what is there.
    pub fn write(&mut self, bytes: &[u8]) {
        let known = bytes.len().min(self.bytes.len() - self.filled);
        let (over, behind) = bytes.split_at(known);
        self.bytes[self.filled..self.filled + known].copy_from_slice(over);
        self.bytes.extend_from_slice(behind);
        self.filled += bytes.len();
    }

    /// The next `count` bytes, to be written to: they hold anything.
    pub fn space(&mut self, count: usize) -> &mut [u8] {
        let begin = self.filled;
        self.filled += count;
        if self.bytes.len() < self.filled {
            self.bytes.resize(self.filled, 0);
        }
        &mut self.bytes[begin..self.filled]
    }

    /// Bytes for which there is room.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Makes room for so many bytes in all.
    pub fn reserve(&mut self, room: usize) {
        self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
    }

    /// Its bytes, to be shared: it goes back when the last of them is dropped.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
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
        buffer.write(b"payload");
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
        assert!(kept.capacity() >= 6 * KEPT_BYTES_MIN);
    }

    #[test]
    fn what_an_earlier_payload_left_is_written_over() {
        let buffers = Buffers::default();
        let mut first = buffers.take(KEPT_BYTES_MIN);
        first.write(&[1; 100]);
        drop(first);
        let mut second = buffers.take(KEPT_BYTES_MIN);
        assert!(second.is_empty());
        second.write(&[2; 60]);
        second.space(20).fill(3);
        second.write(&[4; 30]);
        second.space(10).fill(5);
        let expected = [vec![2; 60], vec![3; 20], vec![4; 30], vec![5; 10]].concat();
        assert_eq!(*second, *expected);
        assert_eq!(second.into_bytes(), expected);
    }
}
