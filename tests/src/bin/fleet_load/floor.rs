//! A server that answers a fleet and decides nothing: what WebSockets, encoding and the load
//! generator itself cost on this machine. Nothing that merges can be faster.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::limits::MESSAGE_BYTES_MAX;
use protocol::{
    Assignment, Checksum, Codec, Lease, LeaseId, Outcome, Role, RunId, SUBPROTOCOL, Segment,
    SessionId, TensorInfo, TensorTable, ToCoordinator, ToWorker, Version, frame,
};
use tests::process::Invitation;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// As many threads as the coordinator's server has.
const THREADS: usize = 2;

/// As large as the coordinator's.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// Values of the model, nearly all in one tensor, as the coordinator's.
const VALUES: [u32; 2] = [784 * 13, 153];

/// The running server; it ends when this is dropped.
pub(crate) struct Floor {
    /// How to join.
    pub(crate) invitation: Invitation,
    _runtime: Runtime,
}

/// Starts it.
pub(crate) fn start() -> Result<Floor> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("no threads for the floor")?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = format!("ws://{}", listener.local_addr()?);
    runtime.spawn(accept(listener));
    Ok(Floor {
        invitation: Invitation { address, token: String::new(), fingerprint: None },
        _runtime: runtime,
    })
}

async fn accept(listener: TcpListener) {
    let assignment = Arc::new(assignment());
    let values = vec![0.5; assignment.table.elements()];
    let parameters: Bytes = assignment.download.encode(&assignment.table, &values).into();
    while let Ok((stream, _)) = listener.accept().await {
        let (assignment, parameters) = (assignment.clone(), parameters.clone());
        // A session that breaks off is the load generator's to tell.
        tokio::spawn(async move { session(stream, &assignment, &parameters).await.ok() });
    }
}

fn assignment() -> Assignment {
    let tensors = VALUES.iter().enumerate().map(|(number, values)| TensorInfo {
        name: format!("tensor {number}"),
        shape: vec![*values],
        role: Role::Parameter,
    });
    Assignment {
        run: RunId(1),
        name: "floor".to_owned(),
        spec: String::new(),
        table: TensorTable { tensors: tensors.collect() },
        seed: 1,
        shards: Vec::new(),
        download: Codec::F16,
        upload: Codec::F16,
        fresh_optimizer: false,
    }
}

#[allow(clippy::result_large_err, reason = "the library's callback is of this type")]
fn subprotocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let headers = response.headers_mut();
    headers.extend(SUBPROTOCOL.parse().map(|name| ("sec-websocket-protocol".parse().ok(), name)));
    Ok(response)
}

async fn session(stream: TcpStream, assignment: &Assignment, parameters: &Bytes) -> Result<()> {
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = accept_hdr_async_with_config(stream, subprotocol, Some(config)).await?;
    let mut last = 0;
    while let Some(message) = socket.next().await {
        let Message::Binary(bytes) = message? else { continue };
        let version = Version { incarnation: 1, number: last };
        let (answers, payload): (Vec<ToWorker>, &[u8]) = match frame::decode(&bytes)?.0 {
            ToCoordinator::Hello(_) => {
                let software = String::new();
                let welcome = ToWorker::Welcome { session: SessionId(1), software };
                (vec![welcome, ToWorker::Assign(assignment.clone())], &[])
            }
            ToCoordinator::LeaseRequest { .. } => {
                last += 1;
                (vec![ToWorker::Lease(lease(last))], &[])
            }
            ToCoordinator::Pull { lease, pending } => {
                let checksum = Checksum::of(parameters);
                let total = parameters.len() as u64;
                let (contains, transfer) = (pending, 1);
                let answer =
                    ToWorker::Parameters { lease, version, contains, transfer, total, checksum };
                (vec![answer], parameters)
            }
            ToCoordinator::Offer { lease, .. } => (vec![ToWorker::Grant { lease }], &[]),
            ToCoordinator::Delta { lease, .. } => {
                (vec![ToWorker::Ack { lease, outcome: Outcome::Merged(version) }], &[])
            }
            _ => (Vec::new(), &[]),
        };
        for answer in answers {
            socket.send(Message::Binary(frame::encode(&answer, payload)?)).await?;
        }
    }
    Ok(())
}

fn lease(number: u64) -> Lease {
    Lease {
        id: LeaseId { incarnation: 1, number },
        run: RunId(1),
        epoch: 0,
        segments: vec![Segment { shard: 0, start: 0, count: 1 }],
        batch_size: 1,
        seed: 1,
        learning_rate: 0.1,
        deadline_ms: 60_000,
    }
}
