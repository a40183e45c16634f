//! One connection to a coordinator: its WebSocket, and HTTP for shards.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use protocol::{Digest, SUBPROTOCOL, limits};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{
    self,
    client::IntoClientRequest,
    error::ProtocolError,
    protocol::{WebSocketConfig, frame::coding::CloseCode},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Time for one shard, which is at most 1 MiB.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// An open WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where a coordinator is: host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    authority: String,
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
    /// Reads `ws://HOST:PORT`.
    ///
    /// # Errors
    /// One sentence that says what an address looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no address; use the one that herd train prints, ws://HOST:PORT")
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|authority| authority.port_u16().is_some());
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        match (uri.scheme_str(), authority) {
            (Some("ws"), Some(authority)) if plain => Ok(Self { authority: authority.to_string() }),
            (Some("wss"), _) => {
                Err(format!("{text:?}: this build has no TLS; use ws:// or a tunnel"))
            }
            _ => Err(wrong()),
        }
    }

    /// Opens the WebSocket.
    ///
    /// # Errors
    /// When nobody answers, or the coordinator speaks another protocol version.
    pub async fn connect(&self) -> Result<Socket, ConnectError> {
        let unreachable = |error: &dyn std::fmt::Display| {
            ConnectError::Unreachable(format!("no answer from ws://{}: {error}", self.authority))
        };
        let mut request = format!("ws://{}/v1/worker", self.authority)
            .into_client_request()
            .map_err(|error| ConnectError::Refused(error.to_string()))?;
        let subprotocol = header::HeaderValue::from_static(SUBPROTOCOL);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let limits = WebSocketConfig::default()
            .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
            .max_frame_size(Some(limits::MESSAGE_BYTES_MAX))
            .max_write_buffer_size(4 * limits::MESSAGE_BYTES_MAX);
        let connecting = tokio_tungstenite::connect_async_with_config(request, Some(limits), true);
        match connecting.await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(self.refusal(&response)),
            Err(error @ tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete)) => {
                Err(unreachable(&error))
            }
            Err(tungstenite::Error::Protocol(error)) => Err(ConnectError::Refused(format!(
                "ws://{} is no Herd coordinator of this version ({SUBPROTOCOL}): {error}",
                self.authority
            ))),
            Err(error) => Err(unreachable(&error)),
        }
    }

    fn refusal(&self, response: &tungstenite::http::Response<Option<Vec<u8>>>) -> ConnectError {
        let body = response.body().as_deref().unwrap_or_default();
        let text = String::from_utf8_lossy(&body[..body.len().min(limits::TEXT_BYTES_MAX)]);
        let text = text.trim();
        let authority = &self.authority;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return ConnectError::Unreachable(format!("ws://{authority} answers {status}"));
        }
        if text.is_empty() {
            ConnectError::Refused(format!("ws://{authority} is no Herd coordinator ({status})"))
        } else {
            ConnectError::Refused(format!("ws://{authority} refused: {text}"))
        }
    }
}

/// Fetches shards of one coordinator; its connections are kept open and reused.
#[derive(Debug, Clone)]
pub struct Shards {
    address: Address,
    token: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Shards {
    /// A client for a coordinator.
    #[must_use]
    pub fn new(address: Address, token: String) -> Self {
        Self { address, token, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Fetches one shard's bytes. The digest is checked by who asked.
    ///
    /// # Errors
    /// One sentence when the coordinator does not give it.
    pub async fn fetch(&self, digest: Digest) -> Result<Bytes, String> {
        let request = Request::get(format!("http://{}/v1/shards/{digest}", self.address.authority))
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
        let parsed = Address::parse("ws://127.0.0.1:7700").unwrap();
        assert_eq!(parsed.authority, "127.0.0.1:7700");
        assert_eq!(Address::parse("ws://[::1]:7700/").unwrap().authority, "[::1]:7700");
        for wrong in ["", "127.0.0.1:7700", "http://a:1", "ws://a", "ws://a:1/path", "ws://a:x"] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(error.contains("ws://HOST:PORT"), "{wrong}: {error}");
        }
        assert!(Address::parse("wss://a:1").unwrap_err().contains("no TLS"));
    }
}
