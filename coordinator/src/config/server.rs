//! How the coordinator is reached: encryption, names, proxies.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::job::path_or_none;
use super::reader::Reader;
use crate::server::Network;

/// Longest name of a host, as DNS has it.
const NAME_BYTES_MAX: usize = 253;

/// How the coordinator is reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerSection {
    /// Whether a certificate is made.
    pub tls: TlsMode,
    /// A certificate with those that signed it.
    #[serde(serialize_with = "path_or_none")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key; `None` = in the same file.
    #[serde(serialize_with = "path_or_none")]
    pub tls_key: Option<PathBuf>,
    /// Proxies whose word about their clients is taken.
    pub trusted_proxies: Vec<Network>,
    /// Names by which it is reached, in small letters.
    pub allow_hosts: Vec<String>,
    /// Nobody is warned that nothing is encrypted.
    pub insecure: bool,
}

/// Where the certificate comes from when no file is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsMode {
    /// There is none.
    #[serde(rename = "")]
    Off,
    /// The run makes its own.
    #[serde(rename = "self-signed")]
    SelfSigned,
}

impl ServerSection {
    /// Whether connections are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls == TlsMode::SelfSigned || self.tls_cert.is_some()
    }
}

/// Reads `[server]`.
pub(super) fn server(reader: &Reader<'_>) -> Result<ServerSection, ConfigError> {
    let section = ServerSection {
        tls: reader.typed("server.tls")?,
        tls_cert: reader.path("server.tls_cert")?,
        tls_key: reader.path("server.tls_key")?,
        trusted_proxies: networks(reader)?,
        allow_hosts: hosts(reader)?,
        insecure: reader.typed("server.insecure")?,
    };
    if section.tls == TlsMode::SelfSigned && section.tls_cert.is_some() {
        let problem = "cannot go with tls = \"self-signed\": one of them is the certificate";
        return Err(reader.fail("server.tls_cert", problem));
    }
    if section.tls_key.is_some() && section.tls_cert.is_none() {
        let problem = "needs its certificate: give --tls-cert (server.tls_cert) too";
        return Err(reader.fail("server.tls_key", problem));
    }
    Ok(section)
}

fn networks(reader: &Reader<'_>) -> Result<Vec<Network>, ConfigError> {
    const KEY: &str = "server.trusted_proxies";
    let read = |text: &String| text.parse().map_err(|problem: String| reader.fail(KEY, problem));
    reader.names(KEY)?.iter().map(read).collect()
}

fn hosts(reader: &Reader<'_>) -> Result<Vec<String>, ConfigError> {
    const KEY: &str = "server.allow_hosts";
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let read = |name: &String| {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
            let problem = format!(
                "{name:?} is not the name of a host, such as herd.example.org: without http:// and \
                 without a port"
            );
            return Err(reader.fail(KEY, problem));
        }
        Ok(name.to_ascii_lowercase())
    };
    reader.names(KEY)?.iter().map(read).collect()
}
