//! Every writer as a sink: the contract, with a crash after every call, and real ends by `kill -9`.
//!
//! `HYPER2KVM_SEEDS` sets how many seeds run; `./dev soak writers` runs many.

mod conformance;
mod kill;

use diskimage::qcow2::write::Compression;
use diskimage::vmdk::grain::Level;
use migrate::sink::Format;

/// Returns every format that is written, with a name.
fn formats() -> Vec<(&'static str, Format)> {
    vec![
        ("raw", Format::Raw),
        ("qcow2", Format::qcow2(None)),
        ("deflate", Format::qcow2(Some(Compression::Deflate))),
        ("vmdk", Format::StreamOptimized { level: Level::FASTEST }),
        ("zstd", Format::Qcow2 { cluster_bytes: 2 << 20, compression: Some(Compression::Zstd) }),
    ]
}

/// How many seeds run: `HYPER2KVM_SEEDS`, or `usual`.
fn seeds(usual: u64) -> u64 {
    std::env::var("HYPER2KVM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
