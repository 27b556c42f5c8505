//! By which certificates the server shows who it is: PEM files, read when it starts and again when it is asked to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::disk;

/// Bytes of a file that are read; stops one that is something else.
const FILE_BYTES: u64 = 1 << 20;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum CertificatesError {
    /// The system refuses.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no PEM, or one that is broken.
    #[error("{} is no PEM file: {error}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// What is wanted is not in it.
    #[error("there is no {what} in {}", path.display())]
    Missing {
        /// What.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// They cannot be used.
    #[error("the certificate in {} and the key in {} cannot be used: {error}", certificate.display(), key.display())]
    Unfit {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        error: rustls::Error,
    },
}

/// Certificates and their key, as they were when they were last read.
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl Certificates {
    /// Reads both files: a chain that begins with the server's own certificate, and a key (PKCS#8, SEC1 or PKCS#1) that fits it.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificatesError> {
        let config = RwLock::new(Arc::new(config(certificate, key)?));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), config })
    }

    /// Reads them again, for the connections that come from now on. If that fails, those that were read last stay.
    pub fn reread(&self) -> Result<(), CertificatesError> {
        let config = config(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    /// What takes a connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn config(certificate: &Path, key: &Path) -> Result<ServerConfig, CertificatesError> {
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| CertificatesError::Pem { path: certificate.to_owned(), error })?;
    if chain.is_empty() {
        return Err(CertificatesError::Missing { what: "certificate", path: certificate.to_owned() });
    }
    let private = match PrivateKeyDer::from_pem_slice(&read(key)?) {
        Err(pem::Error::NoItemsFound) => {
            return Err(CertificatesError::Missing { what: "private key", path: key.to_owned() });
        }
        private => private.map_err(|error| CertificatesError::Pem { path: key.to_owned(), error })?,
    };
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
    let mut config = config.map_err(|error| CertificatesError::Unfit {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        error,
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    disk::read_bounded(path, FILE_BYTES).map_err(|error| CertificatesError::Unreadable { path: path.to_owned(), error })
}
