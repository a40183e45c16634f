//! One connection to a coordinator: its WebSocket, and HTTP for shards, both over TLS if it says so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::client::legacy::{
    Client,
    connect::{Connected, Connection},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use protocol::{Digest, SUBPROTOCOL, limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};
use tokio_tungstenite::tungstenite::{
    self,
    client::IntoClientRequest,
    error::ProtocolError,
    protocol::{WebSocketConfig, frame::coding::CloseCode},
};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tower_service::Service;

use crate::tls;

/// Time for one shard, which is at most 1 MiB.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Port of `wss://HOST`.
const HTTPS_PORT: u16 = 443;

/// A TCP connection, or TLS on one.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// An open WebSocket.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// Where a coordinator is, and how it shows that it is the one.
#[derive(Debug, Clone)]
pub struct Address {
    /// Host and port as they were given.
    authority: String,
    /// The host without the brackets of IPv6.
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The coordinator answers, and does not open the session; trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers; trying again may help.
    #[error("{0}")]
    Unreachable(String),
}

impl Address {
    /// Reads `ws://HOST:PORT` or `wss://HOST:PORT`. The coordinator at the second one shows a
    /// certificate with this fingerprint, or one of an authority that this machine knows.
    ///
    /// # Errors
    /// One sentence that says what an address or a fingerprint looks like.
    pub fn parse(text: &str, fingerprint: Option<&str>) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no address; use the one that herd train prints, ws://HOST:PORT")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(wrong)?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (port, tls) = match (uri.scheme_str(), authority.port_u16()) {
            (Some("ws"), Some(_)) if fingerprint.is_some() => {
                return Err(format!("--fingerprint belongs to wss://, and {text:?} has no TLS"));
            }
            (Some("ws"), Some(port)) if plain => (port, None),
            (Some("wss"), port)
                if plain && (port.is_some() || authority.as_str() == authority.host()) =>
            {
                let name = ServerName::try_from(host.clone()).map_err(|_| wrong())?;
                let config = Arc::new(tls::config(fingerprint)?);
                (port.unwrap_or(HTTPS_PORT), Some((config, name)))
            }
            _ => return Err(wrong()),
        };
        Ok(Self { authority: authority.to_string(), host, port, tls })
    }

    /// The address as a person writes it.
    fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "wss" } else { "ws" }, self.authority)
    }

    /// Opens the WebSocket.
    ///
    /// # Errors
    /// When nobody answers, the coordinator speaks another protocol version, or it is not believed to
    /// be the one.
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        let mut request = format!("{}/v1/worker", self.url())
            .into_client_request()
            .map_err(|error| ConnectError::Refused(error.to_string()))?;
        let subprotocol = header::HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let limits = WebSocketConfig::default()
            .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
            .max_frame_size(Some(limits::MESSAGE_BYTES_MAX))
            .max_write_buffer_size(4 * limits::MESSAGE_BYTES_MAX);
        let stream = self.dial().await?;
        match client_async_with_config(request, stream, Some(limits)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(self.refusal(&response)),
            Err(error @ tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete)) => {
                Err(self.unreachable(&error))
            }
            Err(tungstenite::Error::Protocol(error)) => Err(ConnectError::Refused(format!(
                "{} is no Herd coordinator of this version ({SUBPROTOCOL}): {error}",
                self.url()
            ))),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// Opens a connection, with TLS if the address says so.
    async fn dial(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = connecting.await.map_err(|error| self.unreachable(&error))?;
        // Messages are small and answer each other: none may wait for the one before it.
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let Some((config, name)) = &self.tls else { return Ok(Box::new(stream)) };
        let connector = TlsConnector::from(config.clone());
        match connector.connect(name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(match tls::refusal(&error) {
                Some(reason) => ConnectError::Refused(format!("{}: {reason}", self.url())),
                None => self.unreachable(&error),
            }),
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> ConnectError {
        ConnectError::Unreachable(format!("no answer from {}: {error}", self.url()))
    }

    fn refusal(&self, response: &tungstenite::http::Response<Option<Vec<u8>>>) -> ConnectError {
        let body = response.body().as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(limits::TEXT_BYTES_MAX)]);
        let text = text.trim();
        let url = self.url();
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return ConnectError::Unreachable(format!("{url} answers {status}"));
        }
        if text.is_empty() {
            ConnectError::Refused(format!("{url} is no Herd coordinator ({status})"))
        } else {
            ConnectError::Refused(format!("{url} refused: {text}"))
        }
    }
}

/// Fetches shards of one coordinator; its connections are kept open and reused.
#[derive(Debug, Clone)]
pub struct Shards {
    address: Address,
    token: String,
    client: Client<Connector, Empty<Bytes>>,
}

/// Opens connections to one coordinator, whatever it is asked for.
#[derive(Debug, Clone)]
struct Connector(Address);

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let address = self.0.clone();
        Box::pin(async move { address.dial().await.map(TokioIo::new) })
    }
}

impl Shards {
    /// A client for a coordinator.
    #[must_use]
    pub fn new(address: Address, token: String) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(Connector(address.clone()));
        Self { address, token, client }
    }

    /// Fetches one shard's bytes. The digest is checked by who asked.
    ///
    /// # Errors
    /// One sentence when the coordinator does not give it.
    pub async fn fetch(&self, digest: Digest) -> Result<Bytes, String> {
        let Address { authority, tls, .. } = &self.address;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let request = Request::get(format!("{scheme}://{authority}/v1/shards/{digest}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            if !response.status().is_success() {
                return Err(format!("the coordinator answered {}", response.status()));
            }
            let body = Limited::new(response.into_body(), limits::SHARD_BYTES_MAX);
            Ok(body.collect().await.map_err(|error| error.to_string())?.to_bytes())
        };
        let answered = tokio::time::timeout(FETCH_TIMEOUT, answer).await;
        answered.unwrap_or_else(|_| Err("the coordinator does not send it".to_owned()))
    }
}

/// What a close frame says, for people.
#[must_use]
pub fn close_reason(frame: Option<&tungstenite::protocol::CloseFrame>) -> String {
    match frame {
        Some(frame) if frame.code == CloseCode::Normal && frame.reason.is_empty() => {
            "the coordinator closed the connection".to_owned()
        }
        Some(frame) => format!("the coordinator closed the connection: {}", frame.reason),
        None => "the connection was lost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let parse = |text| Address::parse(text, None);
        let parsed = parse("ws://127.0.0.1:7700").unwrap();
        assert_eq!((parsed.url().as_str(), parsed.port), ("ws://127.0.0.1:7700", 7700));
        let parsed = parse("ws://[::1]:7700/").unwrap();
        assert_eq!((parsed.authority.as_str(), parsed.host.as_str()), ("[::1]:7700", "::1"));
        for wrong in [
            "",
            "127.0.0.1:7700",
            "http://a:1",
            "ws://a",
            "ws://a:1/path",
            "ws://a:x",
            "wss://a:1/path",
            "wss://a:x",
            "wss://",
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.contains("ws://HOST:PORT"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_fingerprint_belongs_to_tls() {
        let fingerprint = "0".repeat(64);
        let parse = |text| Address::parse(text, Some(&fingerprint));
        let parsed = parse("wss://[::1]:7700").unwrap();
        assert_eq!((parsed.url().as_str(), parsed.port), ("wss://[::1]:7700", 7700));
        assert_eq!(parse("wss://herd.example.org").unwrap().port, 443);
        assert!(parse("ws://a:1").unwrap_err().contains("belongs to wss://"));
        assert!(Address::parse("wss://a:1", Some("12")).unwrap_err().contains("64 hexadecimal"));
    }
}
