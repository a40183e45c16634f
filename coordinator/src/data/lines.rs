//! Which line of a text a byte stands in. The CSV reader's own count is off after blank lines and
//! Windows line ends, and a message must name the line that an editor shows. Lines end where the
//! CSV reader ends records: after `\n`, `\r` or both.

use std::collections::VecDeque;
use std::io::{self, Read};

/// Passes a text on, and notes where its lines begin.
pub(crate) struct LineStarts<R> {
    inner: R,
    /// Bytes passed on.
    offset: u64,
    /// Of the next byte, from 1.
    line: u64,
    at_start: bool,
    /// The last byte was `\r`: a `\n` after it ends the same line.
    returned: bool,
    /// Offset and number of each line that is not blank and may still be asked for.
    starts: VecDeque<(u64, u64)>,
}

impl<R: Read> LineStarts<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, offset: 0, line: 1, at_start: true, returned: false, starts: VecDeque::new() }
    }

    /// The first line that is not blank and begins at `offset` or later. Earlier ones are
    /// forgotten.
    pub(crate) fn line_from(&mut self, offset: u64) -> u64 {
        while self.starts.front().is_some_and(|&(start, _)| start < offset) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |&(_, line)| line)
    }
}

impl<R: Read> Read for LineStarts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for &byte in &buffer[..count] {
            if byte == b'\r' || byte == b'\n' {
                self.line += u64::from(byte == b'\r' || !self.returned);
                self.at_start = true;
            } else if self.at_start {
                self.starts.push_back((self.offset, self.line));
                self.at_start = false;
            }
            self.returned = byte == b'\r';
            self.offset += 1;
        }
        Ok(count)
    }
}
