//! HTTP over TLS as bare text, with one certificate that is believed.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::process::TIMEOUT;

/// Asks `HOST:PORT` for a path and gives the status and the whole answer. The certificate must be the one in the file,
/// or signed by it, and be made for HOST.
///
/// # Errors
/// When nobody answers, or with another certificate.
///
/// # Panics
/// When the file holds no certificate.
pub fn get(host: &str, path: &str, headers: &str, certificate: &Path) -> io::Result<(u16, String)> {
    let mut stream = connect(host, certificate)?;
    // Answers to this version have no chunks.
    let request = format!("GET {path} HTTP/1.0\r\nhost: {host}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Some servers end TLS without saying so.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, answer))
}

/// A connection over TLS to `HOST:PORT`.
///
/// # Errors
/// When nobody answers, or with another certificate.
///
/// # Panics
/// When the file holds no certificate.
pub fn connect(
    host: &str,
    certificate: &Path,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut authorities = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    authorities.add(certificate).expect("a certificate that can be believed");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both versions")
        .with_root_certificates(authorities)
        .with_no_client_auth();
    let (name, _) = host.rsplit_once(':').expect("HOST:PORT");
    let name = ServerName::try_from(name.to_owned()).expect("a host");
    let stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    // The handshake takes place with the first bytes: now, so that its errors are these.
    stream.flush()?;
    Ok(stream)
}
