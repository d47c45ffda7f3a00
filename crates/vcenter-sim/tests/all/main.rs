//! The simulator from outside: sockets, bytes, faults, control endpoint, program.
//!
//! Most open leases behind the back of SOAP; `soap` and `strangers` come in by the front door.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chains;
mod client;
mod control;
mod datastores;
mod documented;
mod files;
mod folder;
mod independent;
mod judge;
mod lab;
mod names;
mod power;
mod program;
mod recorded;
mod relocation;
mod rules;
mod rules_calls;
mod rules_files;
mod rules_leases;
mod rules_listeners;
mod scene;
mod shaping;
mod snapshot_exports;
mod snapshots;
mod soap;
mod soap_sessions;
mod soap_waits;
mod strangers;
mod strangers_files;
mod strangers_snapshots;
mod strangers_world;
mod typed;
mod versions;
mod world;
