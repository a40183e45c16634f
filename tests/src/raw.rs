//! A WebSocket as bare bytes, for clients that keep to no rule, and HTTP requests of the same kind.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use protocol::SUBPROTOCOL;

use crate::process::{Invitation, TIMEOUT};

/// First byte of a frame: the last or only one of its message.
pub const FIN: u8 = 0x80;

/// Opcodes of RFC 6455.
pub const CONTINUATION: u8 = 0;
/// A text message.
pub const TEXT: u8 = 1;
/// A binary message.
pub const BINARY: u8 = 2;
/// The close frame.
pub const CLOSE: u8 = 8;
/// A ping.
pub const PING: u8 = 9;
/// The answer to a ping.
pub const PONG: u8 = 10;

/// A frame from the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Fin, reserved bits and opcode.
    pub first: u8,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Closed {
        /// Its code; none in an empty frame.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// Without one.
    Cut,
}

/// A connection after its upgrade.
#[derive(Debug)]
pub struct RawSocket {
    /// The connection itself, for bytes that are no frames.
    pub stream: TcpStream,
    opened: Instant,
}

/// A connection is not read any longer than this, however much comes: several waits' time.
const LIFE_MAX: Duration = TIMEOUT.saturating_mul(5);

/// A TCP connection to a coordinator, on which every wait ends.
///
/// # Panics
/// When nobody accepts it.
#[must_use]
pub fn tcp(invitation: &Invitation) -> TcpStream {
    tcp_to(invitation.host())
}

/// A TCP connection to `HOST:PORT`, on which every wait ends.
///
/// # Panics
/// When nobody accepts it.
#[must_use]
pub fn tcp_to(host: &str) -> TcpStream {
    let stream = TcpStream::connect(host).expect("somebody accepts");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a socket has timeouts");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a socket has timeouts");
    stream
}

/// The head of an upgrade request with this subprotocol.
#[must_use]
pub fn upgrade(invitation: &Invitation, subprotocol: &str) -> String {
    format!(
        "GET /v1/worker HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: {subprotocol}\r\n\r\n",
        invitation.host()
    )
}

/// Reads the head of an answer and, where its length is told, the body.
///
/// # Errors
/// When the connection ends before.
pub fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    // Byte by byte: frames may follow, and are not to be swallowed.
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body)?;
    text.extend(body);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The head and body of the answer to a request, on a connection of its own; or why there is none.
#[must_use]
pub fn ask(invitation: &Invitation, request: &str) -> String {
    let mut stream = tcp(invitation);
    // The answer may come before all of it is sent.
    let _ = stream.write_all(request.as_bytes());
    answer(&mut stream).unwrap_or_else(|error| format!("no answer: {error}"))
}

/// A client's frame: masked, its length in the shortest form.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let form = match length {
        0..126 => 7,
        126..65536 => 16,
        _ => 64,
    };
    let mut bytes = head(first, form, length as u64);
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The start of a masked frame, its length written in 7, 16 or 64 bits.
///
/// # Panics
/// When the form cannot hold the length.
#[must_use]
pub fn head(first: u8, form: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match form {
        7 => bytes.push(0x80 | u8::try_from(length).expect("at most 125")),
        16 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).expect("16 bits").to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

impl RawSocket {
    /// A connection that was upgraded, before `Hello`.
    ///
    /// # Panics
    /// When the coordinator refuses.
    #[must_use]
    pub fn connect(invitation: &Invitation) -> Self {
        let mut stream = tcp(invitation);
        stream.write_all(upgrade(invitation, SUBPROTOCOL).as_bytes()).expect("it is open");
        let answer = answer(&mut stream).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { stream, opened: Instant::now() }
    }

    /// Sends bytes as they are. A coordinator that closed meanwhile is no error: what it said is
    /// still to be read.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The coordinator's next frame; none when the connection has ended.
    ///
    /// # Panics
    /// When nothing comes in time, or a frame is masked or longer than any of Herd's.
    #[track_caller]
    pub fn read_frame(&mut self) -> Option<Frame> {
        assert!(self.opened.elapsed() < LIFE_MAX, "frames come, and never the one that is due");
        let mut start = [0; 2];
        self.read(&mut start)?;
        assert_eq!(start[1] & 0x80, 0, "a server masks nothing");
        let length = match start[1] {
            126 => {
                let mut bytes = [0; 2];
                self.read(&mut bytes)?;
                u16::from_be_bytes(bytes).into()
            }
            127 => {
                let mut bytes = [0; 8];
                self.read(&mut bytes)?;
                u64::from_be_bytes(bytes)
            }
            short => short.into(),
        };
        assert!(length <= protocol::limits::MESSAGE_BYTES_MAX as u64, "{length} bytes");
        let mut payload = vec![0; length as usize];
        self.read(&mut payload)?;
        Some(Frame { first: start[0], payload })
    }

    /// The next frame that is neither a ping nor a message.
    #[track_caller]
    pub fn control(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read_frame()?;
            if ![FIN | PING, FIN | BINARY].contains(&frame.first) {
                return Some(frame);
            }
        }
    }

    /// Reads on up to the end of the connection.
    #[track_caller]
    pub fn end(mut self) -> End {
        while let Some(frame) = self.read_frame() {
            if frame.first == FIN | CLOSE {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = frame.payload.get(2..).unwrap_or_default();
                return End::Closed { code, reason: String::from_utf8_lossy(reason).into_owned() };
            }
        }
        End::Cut
    }

    #[track_caller]
    fn read(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error)
                if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind()) =>
            {
                panic!("nothing came in time: {error}")
            }
            Err(_) => None,
        }
    }

    /// How long a read may wait from now on.
    ///
    /// # Panics
    /// When it is zero.
    pub fn patience(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("more than nothing");
    }
}
