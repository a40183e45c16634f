//! A certificate that a run makes for itself. It lies in the run's folder, so that a run that goes on
//! keeps its fingerprint.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{Files, TlsError};
use crate::storage::{TLS_CERTIFICATE, TLS_KEY};

/// Bytes of a line in a PEM file.
const PEM_LINE: usize = 64;

/// The first and the year after the last in which it is valid. It is believed by its fingerprint, and
/// has to outlive the run.
const YEARS: (i32, i32) = (2025, 2125);

/// The certificate of the run in this folder; made for these names and addresses if there is none.
pub(super) fn certificate(
    folder: &Path,
    names: &[String],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let files = Files { certificate: folder.join(TLS_CERTIFICATE), key: folder.join(TLS_KEY) };
    // The key is written last: with it, both are complete.
    if !files.key.exists() {
        make(&files, names)?;
    }
    files.read(provider)
}

fn make(files: &Files, names: &[String]) -> Result<(), TlsError> {
    let failed = |error: rcgen::Error| {
        TlsError::new(&files.certificate, format!("cannot be made for {names:?}: {error}"))
    };
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.not_before = rcgen::date_time_ymd(YEARS.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(YEARS.1, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "herd");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let written =
        |path: &Path, error: &io::Error| TlsError::new(path, format!("cannot be written: {error}"));
    write(&files.certificate, &pem("CERTIFICATE", certificate.der()), 0o644)
        .map_err(|error| written(&files.certificate, &error))?;
    write(&files.key, &pem("PRIVATE KEY", key.serialized_der()), 0o600)
        .map_err(|error| written(&files.key, &error))
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64.as_bytes().chunks(PEM_LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Writes a file that nobody else may read meanwhile either.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::Tls;
    use super::*;

    #[test]
    fn a_run_keeps_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["localhost", "127.0.0.1", "::1", "herd.example.org"].map(str::to_owned);
        let first = Tls::self_signed(folder.path(), &names).unwrap();
        assert!(first.is_self_signed() && first.fingerprint().len() == 64);
        assert_eq!(first.names(), ["localhost", "herd.example.org"]);
        let again = Tls::self_signed(folder.path(), &[]).unwrap();
        assert_eq!(again.fingerprint(), first.fingerprint());
        let elsewhere = tempfile::tempdir().unwrap();
        let other = Tls::self_signed(elsewhere.path(), &names).unwrap();
        assert_ne!(other.fingerprint(), first.fingerprint());

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join(TLS_KEY)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // A certificate without its key is one that was not finished.
        std::fs::remove_file(folder.path().join(TLS_KEY)).unwrap();
        let anew = Tls::self_signed(folder.path(), &names).unwrap();
        assert_ne!(anew.fingerprint(), first.fingerprint());
    }

    #[test]
    fn what_a_certificate_cannot_name_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = Tls::self_signed(folder.path(), &["n\u{fc}rnberg".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("cannot be made for"), "{error}");
    }
}
