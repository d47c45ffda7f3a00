//! Typed SOAP client for vCenter and ESXi.
//!
//! ```text
//!  Config ──► Session ──┬─► inventory   which VMs there are, by path and by name
//!  (URL, TLS, secrets)  ├─► properties  read and wait for properties of objects
//!                       ├─► task        wait for what the server does meanwhile
//!                       ├─► snapshot    a snapshot that is removed on every way out
//!                       ├─► power       off, by the guest or without it
//!                       ├─► cdrom       media out of their drives for a while, and back
//!                       ├─► Lease       hold a VM for export, keep it alive, give it back
//!                       ├─► ovf         the descriptor that the server makes
//!                       └─► datastore   whole files, through the server or at a host
//!                           HostStream  the bytes behind a URL of any of them
//!  wire: the codec and the generated types below all of them
//! ```
//!
//! SOAP, because ESXi and vCenter before 8.0 U1 speak nothing else. This crate knows what the server
//! says; it does not know what bytes mean, where they go, or in which order a job does things.

pub mod cdrom;
pub mod config;
pub mod datastore;
mod error;
pub mod inventory;
pub mod lease;
pub mod ovf;
pub mod power;
pub mod properties;
mod session;
pub mod snapshot;
mod stream;
pub mod task;
mod tls;
pub mod wire;

pub use config::{Config, Patience};
pub use error::{Error, ErrorKind, Result};
pub use lease::Lease;
pub use session::Session;
pub use stream::{HostStream, StreamRequest};
pub use tls::{Thumbprint, TlsPolicy, Trust};
