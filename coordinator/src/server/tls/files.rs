//! A certificate and its key in PEM files, as authorities and their tools write them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, InconsistentKeys};

use super::TlsError;

/// Longest file: a certificate with those that signed it has some KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a certificate is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, then those that signed it.
    pub certificate: PathBuf,
    /// The private key; may be the same file.
    pub key: PathBuf,
}

/// What tells that files have changed: when, and how long they are.
pub(crate) type State = [Option<(SystemTime, u64)>; 2];

impl Files {
    /// Their state now.
    pub(crate) fn state(&self) -> State {
        [&self.certificate, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let failed = |problem| TlsError::new(&self.certificate, problem);
        let chain = CertificateDer::pem_slice_iter(&text(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(format!("is no certificate in PEM form: {error}")))?;
        if chain.is_empty() {
            let problem = "holds no certificate in PEM form, which has a line -----BEGIN \
                           CERTIFICATE-----";
            return Err(failed(problem.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&text(&self.key)?).map_err(|error| {
            let problem = format!(
                "holds no private key in PEM form that is not encrypted: {error}; name the file of \
                 the key with --tls-key, and decrypt it with `openssl pkey` if it has a password"
            );
            TlsError::new(&self.key, problem)
        })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let key = self.key.display();
                failed(format!(
                    "is not the certificate of the private key in {key}: the first certificate in \
                     the file must be the coordinator's own"
                ))
            }
            error => failed(format!("cannot be used with {}: {error}", self.key.display())),
        })
    }
}

fn text(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(TlsError::new(path, "is too long for a certificate or a key"))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(TlsError::new(path, format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tls;
    use super::*;
    use crate::storage::{TLS_CERTIFICATE, TLS_KEY};

    /// A certificate and key in a folder, and the files that they are.
    fn made(folder: &Path) -> Files {
        std::fs::create_dir_all(folder).unwrap();
        Tls::self_signed(folder, &["localhost".to_owned()]).unwrap();
        Files { certificate: folder.join(TLS_CERTIFICATE), key: folder.join(TLS_KEY) }
    }

    #[test]
    fn a_change_is_taken_over_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (made(&folder.path().join("1")), made(&folder.path().join("2")));
        let files = Files {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let copy = |from: &Path, to: &Path| std::fs::copy(from, to).map(drop).unwrap();
        copy(&first.certificate, &files.certificate);
        copy(&first.key, &files.key);
        let tls = Tls::from_files(files.clone()).unwrap();
        let of_first = tls.fingerprint();
        assert!(!tls.is_self_signed());

        copy(&second.certificate, &files.certificate);
        let error = tls.reload().unwrap_err().to_string();
        assert!(
            error.contains("cert.pem: is not the certificate of the private key in"),
            "{error}"
        );
        assert_eq!(tls.fingerprint(), of_first);
        copy(&second.key, &files.key);
        tls.reload().unwrap();
        assert_ne!(tls.fingerprint(), of_first);

        // Both in one file.
        let both = [&first.certificate, &first.key].map(|path| std::fs::read(path).unwrap());
        std::fs::write(&files.certificate, both.concat()).unwrap();
        let one = Files { key: files.certificate.clone(), ..files };
        assert_eq!(Tls::from_files(one).unwrap().fingerprint(), of_first);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let good = made(folder.path());
        let other = folder.path().join("other.pem");
        let fails = |files: Files, words: &str| {
            let error = Tls::from_files(files).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let certificate = |path: &Path| Files { certificate: path.to_owned(), ..good.clone() };
        fails(certificate(&other), "other.pem: cannot be read");
        fails(certificate(&good.key), "holds no certificate in PEM form");
        fails(Files { key: good.certificate.clone(), ..good.clone() }, "holds no private key");
        std::fs::write(&other, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n")
            .unwrap();
        fails(certificate(&other), "is no certificate in PEM form");
        std::fs::write(&other, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        fails(certificate(&other), "cannot be used with");
        std::fs::write(&other, vec![b'x'; FILE_BYTES_MAX as usize + 1]).unwrap();
        fails(certificate(&other), "is too long");
    }
}
