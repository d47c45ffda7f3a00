//! Self-signed certificates, one for each listener, and the TLS that presents them.
//!
//! Keys and certificates are made anew at every start and never leave the process but for the
//! certificate itself: whoever tests against the simulator trusts it by its thumbprint or its PEM.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::faults::rule::BadCertificate;

/// The certificate and the key of one listener.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    pem: String,
}

impl Identity {
    /// Makes a certificate for these names; the first one is its common name.
    pub(crate) fn self_signed(names: &[String]) -> Result<Self> {
        Self::valid_until(names, None)
    }

    /// Makes a certificate that something is wrong with, for a listener that has these names.
    pub(crate) fn bad(kind: BadCertificate, names: &[String]) -> Result<Self> {
        match kind {
            BadCertificate::Other => Self::self_signed(names),
            BadCertificate::Expired => Self::valid_until(names, Some((1999, 2000))),
            BadCertificate::OtherName => Self::self_signed(&["elsewhere.sim.invalid".to_owned()]),
        }
    }

    /// Makes a certificate; `years` are those in whose first days it begins and ends to be valid.
    fn valid_until(names: &[String], years: Option<(i32, i32)>) -> Result<Self> {
        let failed = |source| {
            Error::new(ErrorKind::Certificate, format!("cannot make a certificate for {}", names.join(", ")))
                .with_source(source)
        };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "vcenter-sim: a simulated vCenter");
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        if let Some((from, until)) = years {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(until, 1, 1);
        }
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// Returns the certificate as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the SHA-1 of the certificate: upper-case pairs joined by colons.
    pub(crate) fn sha1_thumbprint(&self) -> String {
        thumbprint(&Sha1::digest(&self.certificate))
    }

    /// Returns the SHA-256 of the certificate.
    pub(crate) fn sha256_thumbprint(&self) -> String {
        thumbprint(&Sha256::digest(&self.certificate))
    }

    /// Returns the settings of a listener: TLS 1.2 and 1.3, HTTP/1.1 only.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![self.certificate.clone()], key))
            .map_err(|source| {
                Error::new(ErrorKind::Certificate, "cannot use a certificate that was just made").with_source(source)
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("sha256", &self.sha256_thumbprint()).finish_non_exhaustive()
    }
}

fn thumbprint(hash: &[u8]) -> String {
    hash.iter().enumerate().fold(String::new(), |mut text, (index, byte)| {
        let colon = if index == 0 { "" } else { ":" };
        write!(text, "{colon}{byte:02X}").expect("a String takes everything");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_are_upper_case_pairs_joined_by_colons() {
        assert_eq!(thumbprint(&[0x0a, 0xff, 0x00]), "0A:FF:00");
        let identity = Identity::self_signed(&["esx1.sim.invalid".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        assert_eq!(identity.sha1_thumbprint().split(':').count(), 20);
        assert_eq!(identity.sha256_thumbprint().split(':').count(), 32);
        assert!(identity.pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    #[test]
    fn every_certificate_is_another() {
        let names = ["localhost".to_owned()];
        let first = Identity::self_signed(&names).unwrap();
        let second = Identity::self_signed(&names).unwrap();
        assert_ne!(first.sha256_thumbprint(), second.sha256_thumbprint());
        assert_eq!(first.server_config().unwrap().alpn_protocols, [b"http/1.1"]);
    }
}
