//! The floor: a server that sends back what comes, with the same library and frames of one length.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::chunk;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async_with_config, client_async_with_config};

use crate::{Count, config};

/// The server's process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the echo server")?;
        let mut address = String::new();
        let said = child.stdout.take().context("its output is piped")?;
        BufReader::new(said).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut socket = accept_async_with_config(stream, Some(config())).await?;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_binary() {
                    socket.send(message).await?;
                }
            }
            anyhow::Ok(())
        });
    }
}

/// Sends a payload in pieces and waits until all of it is back, again and again.
pub(crate) async fn exchange(address: &str, length: usize, end: Instant) -> Result<(f64, usize)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!("ws://{address}/");
    let (socket, _) = client_async_with_config(request, stream, Some(config())).await?;
    let (mut sink, mut stream) = socket.split();
    let payload = Bytes::from(vec![7_u8; length]);
    let pieces: Vec<Bytes> =
        chunk::pieces(&payload).map(|(_, piece)| payload.slice_ref(piece)).collect();
    let mut count = Count::new();
    while Instant::now() < end {
        let send = async {
            for piece in &pieces {
                sink.feed(Message::Binary(piece.clone())).await?;
            }
            sink.flush().await?;
            anyhow::Ok(())
        };
        let receive = async {
            let mut came = 0;
            while came < length {
                came += stream.next().await.context("the server is gone")??.len();
            }
            anyhow::Ok(())
        };
        tokio::try_join!(send, receive)?;
        count.exchanged();
    }
    Ok((count.rate()?, length))
}
