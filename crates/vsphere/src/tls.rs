//! Which certificates are trusted: roots, pinned thumbprints, or explicitly anything.
//!
//! A certificate passes when chain and name check out, **or** when its thumbprint is pinned for this
//! host and port. The signature of the handshake is checked either way, so a pin proves possession of
//! the key. `sslThumbprint` of a lease came over the authenticated channel to the server and counts
//! as a pin for that URL only.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::error::{Error, ErrorKind, Result};

/// Where trust in a chain comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's roots.
    System,
    /// The certificates in these PEM files, in place of the system's.
    Files(Vec<PathBuf>),
    /// Every certificate; the user said so.
    Anything,
}

/// Everything about TLS that a user can set.
#[derive(Clone, Debug)]
pub struct TlsPolicy {
    /// Roots.
    pub trust: Trust,
    /// Pins: `host:port` in lower case, thumbprint.
    pub pins: Vec<(String, Thumbprint)>,
    /// Bound on connecting and on the handshake.
    pub handshake_timeout: Duration,
    /// PEM files of a client certificate and its key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
}

/// The hash of a leaf certificate's DER form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Thumbprint {
    /// 20 bytes.
    Sha1(Vec<u8>),
    /// 32 bytes.
    Sha256(Vec<u8>),
}

impl Thumbprint {
    /// Reads pairs of hexadecimal digits, with or without colons, in any case; the length tells the
    /// hash.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Vec<u8> = digits.chunks(2).map(pair).collect::<Option<_>>()?;
        match (digits.len(), bytes.len()) {
            (40, 20) => Some(Self::Sha1(bytes)),
            (64, 32) => Some(Self::Sha256(bytes)),
            _ => None,
        }
    }

    /// Returns the SHA-256 thumbprint of a certificate in DER form.
    pub fn sha256_of(certificate: &[u8]) -> Self {
        Self::Sha256(digest::digest(&digest::SHA256, certificate).as_ref().to_vec())
    }

    /// Returns true when this is the certificate's thumbprint.
    pub fn fits(&self, certificate: &[u8]) -> bool {
        let (algorithm, expected) = match self {
            Self::Sha1(bytes) => (&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes),
            Self::Sha256(bytes) => (&digest::SHA256, bytes),
        };
        digest::digest(algorithm, certificate).as_ref() == expected.as_slice()
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Sha1(bytes) | Self::Sha256(bytes)) = self;
        let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

/// Our verdict on a certificate, found again at the bottom of the transport's error.
#[derive(Clone, Debug)]
pub(crate) struct UntrustedCertificate {
    reason: String,
    sha256: Thumbprint,
}

impl fmt::Display for UntrustedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; the certificate's SHA-256 thumbprint is {}", self.reason, self.sha256)
    }
}

impl std::error::Error for UntrustedCertificate {}

/// Makes the TLS configuration for one server.
///
/// `authority` is `host:port` and picks the pins; `extra` is a thumbprint that counts for this
/// connection only.
pub(crate) fn client_config(policy: &TlsPolicy, authority: &str, extra: Option<Thumbprint>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let authority = authority.to_ascii_lowercase();
    let pinned = policy.pins.iter().filter(|(host, _)| *host == authority).map(|(_, pin)| pin.clone());
    let pins: Vec<Thumbprint> = pinned.chain(extra).collect();
    let chain = match &policy.trust {
        Trust::Anything => Chain::Anything,
        trust => chain_verifier(roots(trust)?, &provider)?,
    };
    let verifier = Verifier { chain, pins, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Config, "set up TLS").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &policy.client_identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                Error::new(ErrorKind::Config, format!("read the client key {}", key.display())).with_source(error)
            })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| Error::new(ErrorKind::Config, "use the client certificate").with_source(error))?
        }
    };
    // vCenter and ESXi limit each connection, so one request per connection is what we want.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// How a chain is judged.
#[derive(Debug)]
enum Chain {
    /// Every chain passes.
    Anything,
    /// None does: there are no roots, only pins can help.
    Nothing,
    /// By these roots.
    Roots(Arc<WebPkiServerVerifier>),
}

fn chain_verifier(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Chain> {
    if roots.is_empty() {
        return Ok(Chain::Nothing);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::new(ErrorKind::Config, "set up certificate verification").with_source(error))?;
    Ok(Chain::Roots(verifier))
}

fn roots(trust: &Trust) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::Files(files) => {
            for file in files {
                for certificate in certificates(file)? {
                    store.add(certificate).map_err(|error| {
                        Error::new(ErrorKind::Config, format!("use CA file {}", file.display())).with_source(error)
                    })?;
                }
            }
        }
        // A broken file in the system's store must not keep users from the others.
        _ => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

fn certificates(file: &PathBuf) -> Result<Vec<CertificateDer<'static>>> {
    let failed = |reason: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Config, format!("read certificates from {}", file.display())).with_source(reason)
    };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| failed(error.into()))?;
    let certificates: Vec<_> = read.collect::<std::result::Result<_, _>>().map_err(|error| failed(error.into()))?;
    if certificates.is_empty() {
        return Err(failed("the file holds no certificate".into()));
    }
    Ok(certificates)
}

#[derive(Debug)]
struct Verifier {
    chain: Chain,
    pins: Vec<Thumbprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verdict = match &self.chain {
            Chain::Anything => return Ok(ServerCertVerified::assertion()),
            Chain::Nothing => Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            Chain::Roots(verifier) => verifier.verify_server_cert(leaf, intermediates, name, ocsp, now),
        };
        match verdict {
            Err(_) if self.pins.iter().any(|pin| pin.fits(leaf)) => Ok(ServerCertVerified::assertion()),
            Err(error) => {
                let reason = reason(&error, !self.pins.is_empty());
                let untrusted = UntrustedCertificate { reason, sha256: Thumbprint::sha256_of(leaf) };
                Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(untrusted)))))
            }
            passed => passed,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn reason(error: &rustls::Error, pins: bool) -> String {
    let reason = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "it was not issued by anybody that is trusted here".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(_)) => {
            // Self-signed certificates often are CA certificates; the library has words for itself only.
            "it is self-signed or has a form that is not accepted".to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => reason.to_string(),
        other => other.to_string(),
    };
    if pins { format!("{reason}, and it is not the pinned one") } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_read_by_length_in_any_case_with_or_without_colons() {
        let sha1 = "69:21:3F:1C:8A:A4:9A:A1:B1:0C:8A:7F:37:49:A0:3D:98:5A:63:EC";
        assert!(matches!(Thumbprint::parse(sha1), Some(Thumbprint::Sha1(_))));
        assert_eq!(Thumbprint::parse(&sha1.to_lowercase().replace(':', "")), Thumbprint::parse(sha1));
        assert!(matches!(Thumbprint::parse(&"ab".repeat(32)), Some(Thumbprint::Sha256(_))));
        for bad in ["", "zz", "AB:CD", &"ab".repeat(21)] {
            assert_eq!(Thumbprint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_thumbprint_fits_its_certificate_only() {
        let print = Thumbprint::sha256_of(b"certificate");
        assert!(print.fits(b"certificate") && !print.fits(b"another"));
        assert_eq!(Thumbprint::parse(&print.to_string()), Some(print));
    }
}
