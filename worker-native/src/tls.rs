//! TLS to a coordinator: whose certificate is believed.
//!
//! - by default one that an authority of this machine's own list has signed, for the name asked for
//! - with a fingerprint that one certificate and no other, whoever has signed it, whatever its names

use std::io;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring as provider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// What to do about a certificate that is not believed.
const REMEDY: &str = "a self-signed one is believed with --fingerprint and what herd train prints \
                      behind it; another authority with SSL_CERT_FILE=FILE";

/// The SHA-256 of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Reads 64 hexadecimal digits; colons between them do not matter.
    fn parse(text: &str) -> Option<Self> {
        let digits: Vec<char> = text.chars().filter(|char| *char != ':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::try_from(pair[0].to_digit(16)? * 16 + pair[1].to_digit(16)?).ok()?;
        }
        Some(Self(bytes))
    }

    fn of(certificate: &CertificateDer<'_>) -> Self {
        let hash = digest(&SHA256, certificate);
        Self(hash.as_ref().try_into().expect("invariant: SHA-256 has 32 bytes"))
    }
}

/// How a coordinator shows who it is: by this fingerprint, else by an authority.
///
/// # Errors
/// One sentence when the fingerprint is none, or the machine knows no authorities.
pub(crate) fn config(fingerprint: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match fingerprint {
        Some(text) => {
            let expected = Fingerprint::parse(text).ok_or_else(|| {
                format!(
                    "--fingerprint {text}: a fingerprint has 64 hexadecimal digits; use the one \
                     that herd train printed"
                )
            })?;
            let pinned = Pinned { expected, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned))
        }
        None => builder.with_root_certificates(authorities()?),
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn authorities() -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    // Some of a system's list may be unreadable: the others count all the same.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(
            "this machine lists no authorities that sign certificates: install its package \
                    ca-certificates, set SSL_CERT_FILE=FILE, or give --fingerprint as herd train \
                    prints it"
                .to_owned(),
        );
    }
    Ok(store)
}

/// Why a handshake failed, if trying again does not help: in one sentence with the remedy.
pub(crate) fn refusal(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => Some(
            "its certificate has another fingerprint than --fingerprint says: either this is \
             not that coordinator, or its certificate is new; ask who runs it"
                .to_owned(),
        ),
        Error::InvalidCertificate(reason) => {
            Some(format!("its certificate is not believed ({reason}); {REMEDY}"))
        }
        Error::InvalidMessage(_) => {
            Some("it does not speak TLS: use ws:// instead of wss://".to_owned())
        }
        _ => None,
    }
}

/// Believes one certificate.
#[derive(Debug)]
struct Pinned {
    expected: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Fingerprint::of(certificate) == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // That the other end has the certificate's key is checked as ever.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_colons_or_without() {
        let digits = "00ff".repeat(16);
        let colons: Vec<String> = (0..32).map(|at| digits[2 * at..][..2].to_uppercase()).collect();
        let parsed = Fingerprint::parse(&digits).unwrap();
        assert_eq!(parsed.0[..2], [0, 0xff]);
        assert_eq!(Fingerprint::parse(&colons.join(":")), Some(parsed));
        for wrong in ["", "00", &digits[1..], &format!("{digits}00"), &digits.replace('f', "g")] {
            assert_eq!(Fingerprint::parse(wrong), None, "{wrong}");
            let error = config(Some(wrong)).unwrap_err();
            assert!(error.contains("64 hexadecimal digits; use the one"), "{error}");
        }
    }

    #[test]
    fn a_pinned_certificate_is_believed_and_no_other() {
        let mine = CertificateDer::from(vec![1, 2, 3]);
        let provider = Arc::new(provider::default_provider());
        let pinned = Pinned { expected: Fingerprint::of(&mine), provider };
        let name = ServerName::try_from("elsewhere").unwrap();
        let verify = |certificate: &CertificateDer<'_>| {
            pinned.verify_server_cert(certificate, &[], &name, &[], UnixTime::now())
        };
        verify(&mine).unwrap();
        let error = io::Error::other(verify(&CertificateDer::from(vec![1, 2])).unwrap_err());
        assert!(refusal(&error).unwrap().contains("another fingerprint"));
        assert_eq!(refusal(&io::Error::other("else")), None);
    }
}
