//! The daemon's own certificate: given, or made once and kept.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;
use crate::private_file;

/// Returns what to show on addresses that others can reach: the configured certificate, or one of our own for
/// `names`, which is made at the first start and lies in `directory` from then on.
///
/// # Errors
/// When files cannot be read or written, or certificate and key do not belong together.
pub(crate) fn server(config: &Tls, directory: &Path, names: &[String]) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => {
            let files = (directory.join("certificate.pem"), directory.join("key.pem"));
            if !files.0.exists() || !files.1.exists() {
                make(directory, names).with_context(|| format!("make a certificate in {}", directory.display()))?;
            }
            files
        }
    };
    let doing = || format!("read the certificate {}", certificate.display());
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(doing)?;
    let leaf = chain.first().with_context(|| format!("{}: there is none in it", doing()))?;
    let thumbprint = thumbprint(leaf);
    let private = PrivateKeyDer::from_pem_file(&key).with_context(|| format!("read the key {}", key.display()))?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choose the versions of TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("use {} with {}", certificate.display(), key.display()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    tracing::info!(certificate = %certificate.display(), thumbprint, "TLS for addresses that are not loopback");
    Ok(Arc::new(server))
}

/// Makes a certificate that signs itself. It has no end: clients know it by its thumbprint, and nobody would
/// renew it.
fn make(directory: &Path, names: &[String]) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let made = rcgen::generate_simple_self_signed(names)?;
    // The key first: a crash between the two leaves no certificate, and both are made anew.
    private_file::write(&directory.join("key.pem"), made.signing_key.serialize_pem().as_bytes(), 0o600, None)?;
    private_file::write(&directory.join("certificate.pem"), made.cert.pem().as_bytes(), 0o644, None)?;
    Ok(())
}

/// Returns the SHA-256 of a certificate, in the form that people compare.
fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    let hash = digest::digest(&digest::SHA256, certificate);
    hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("tls");
        let names = ["localhost".to_owned(), "192.0.2.1".to_owned()];
        server(&Tls::default(), &directory, &names).unwrap();
        let first = fs::read(directory.join("certificate.pem")).unwrap();
        server(&Tls::default(), &directory, &names).unwrap();
        assert_eq!(fs::read(directory.join("certificate.pem")).unwrap(), first);
        let mode = |name: &str| directory.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode(".")), (0o600, 0o700));
    }

    #[test]
    fn a_certificate_with_a_strange_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        for directory in [&one, &two] {
            server(&Tls::default(), directory, &["localhost".to_owned()]).unwrap();
        }
        let mixed = Tls { certificate: Some(one.join("certificate.pem")), key: Some(two.join("key.pem")) };
        let error = server(&mixed, folder.path(), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("two/key.pem"), "{error:#}");
    }
}
