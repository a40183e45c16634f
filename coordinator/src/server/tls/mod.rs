//! TLS: the certificate that the coordinator shows, and how it is changed while it runs.
//!
//! - [`own`]: a certificate that the run makes for itself, known by its fingerprint
//! - [`files`]: a certificate from files, read anew when they change
//!
//! A connection takes the certificate that is valid when it is opened; those that are open keep theirs.

mod files;
mod own;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::digest::{SHA256, digest};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring as provider};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

pub use files::Files;

/// A file that is no certificate or key, or cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    path: PathBuf,
    /// What is wrong, and the remedy.
    problem: String,
}

impl TlsError {
    fn new(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: path.to_owned(), problem: problem.into() }
    }
}

/// How connections are encrypted.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    shown: Arc<Shown>,
    files: Option<Files>,
}

/// The certificate that is shown to those who connect.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl Tls {
    /// With the certificate that the run in this folder has, or makes now for these names and addresses.
    ///
    /// # Errors
    /// When its files cannot be written, or are damaged.
    pub fn self_signed(folder: &Path, names: &[String]) -> Result<Self, TlsError> {
        let key = own::certificate(folder, names, &provider::default_provider())?;
        Self::new(key, None).map_err(|problem| TlsError::new(folder, problem))
    }

    /// With the certificate in these files.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn from_files(files: Files) -> Result<Self, TlsError> {
        let key = files.read(&provider::default_provider())?;
        let path = files.certificate.clone();
        Self::new(key, Some(files)).map_err(|problem| TlsError::new(&path, problem))
    }

    fn new(key: CertifiedKey, files: Option<Files>) -> Result<Self, String> {
        let shown = Arc::new(Shown(RwLock::new(Arc::new(key))));
        let provider: Arc<CryptoProvider> = Arc::new(provider::default_provider());
        // TLS 1.2 and 1.3, and no older ones: this library has none.
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), shown, files })
    }

    /// The SHA-256 of the certificate, as 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let shown = self.shown.get();
        let certificate = shown.cert.first().map(AsRef::as_ref).unwrap_or_default();
        data_encoding::HEXLOWER.encode(digest(&SHA256, certificate).as_ref())
    }

    /// The names of hosts that the certificate is made for, without those that stand for several.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let shown = self.shown.get();
        let parsed = shown.cert.first().and_then(|der| EndEntityCert::try_from(der).ok());
        let names = parsed.iter().flat_map(|certificate| certificate.valid_dns_names());
        names.filter(|name| !name.contains('*')).map(str::to_ascii_lowercase).collect()
    }

    /// Whether nobody but the run itself says that the certificate is its own.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.files.is_none()
    }

    /// The files that the certificate came from.
    #[must_use]
    pub fn files(&self) -> Option<&Files> {
        self.files.as_ref()
    }

    /// Reads the files again: connections that are opened from now on get what they hold.
    ///
    /// # Errors
    /// When they are not right; the certificate from before then stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Some(files) = &self.files {
            self.shown.set(files.read(&provider::default_provider())?);
        }
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.config.clone().into()
    }
}

impl Shown {
    fn get(&self) -> Arc<CertifiedKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}
