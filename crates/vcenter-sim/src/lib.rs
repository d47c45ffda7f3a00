//! A simulated vCenter with ESXi hosts, real disk bytes and faults to order.
//!
//! It serves what an exporter needs of the vSphere API, over TLS, from an inventory in a TOML file:
//! sessions, properties, export leases, and the disks themselves as stream-optimized VMDKs that are
//! made while they are sent. The demo, the tests and newcomers use the same simulator; it says in
//! every place where a product names itself that it is one, and listens on loopback unless told
//! otherwise.
//!
//! ```text
//!            /sdk  ┌──────┐  leases   ┌────────┐ tickets ┌─────┐  /nfc/TICKET/disk-0.vmdk
//!  vCenter ───────►│ soap │──────────►│ export │◄────────│ nfc │◄─────────────── ESXi hosts
//!  (own port)      └──┬───┘           └───┬────┘         └──┬──┘         (a port and a certificate each)
//!                     │ inventory         │ content         │ faults, shaping
//!                     └───────────► world: all that is shared ◄── control (plain HTTP, JSON)
//! ```
//!
//! * [`inventory`]: what exists, read from TOML; [`hardware`]: where each device of a VM sits; [`identity`]: what follows from its path.
//! * [`content`]: the bytes of disks; [`export`]: the files of a lease; `nfc`: sends them, `stream` makes them.
//! * `datastore`: files as hosts keep them, made while they are read; `folder`: serves them.
//! * [`ovf`]: the descriptor; [`soap`]: sessions, properties, tasks and leases.
//! * [`faults`]: options and what goes wrong on purpose, by switch or by rule; `interfere`: does to HTTP
//!   what rules say; `pace` and [`line`]: bandwidth; [`stats`]: what was seen.
//! * `server`, `router`, `tls`, `control`: listeners, certificates, and the endpoint for tests; [`Simulator`] starts it all.
//!
//! Snapshots come and go, VMs run and stop, drives change; all of it is forgotten with the simulator.
//! Deliberately absent: anything that changes an inventory for good, import, and every call that
//! an exporter does not need; those answer `MethodNotFound`, as a server of another version would.

mod connection;
pub mod content;
mod control;
mod datastore;
mod error;
pub mod export;
pub mod faults;
mod folder;
pub mod hardware;
pub mod identity;
mod interfere;
pub mod inventory;
pub mod line;
mod nfc;
pub mod ovf;
mod pace;
mod reply;
mod router;
mod server;
mod simulator;
pub mod soap;
pub mod stats;
mod stream;
mod tls;
pub mod world;

pub use error::{Error, ErrorKind, Result};
pub use faults::Options;
pub use inventory::Inventory;
pub use simulator::Simulator;
