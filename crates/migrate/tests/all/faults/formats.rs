//! Streams whose format is wrong while their hash is right: only whoever reads them finds out.

use std::fs;

use diskimage::vmdk::stream_walk::{StreamWalker, WalkOptions};
use migrate::ErrorKind;
use serde_json::{Value, json};
use vcenter_sim::Options;
use vcenter_sim::faults::Settings;
use vcenter_sim::faults::rule::parse_json;

use super::{WEB01, right, wrong};
use crate::lab::Lab;

const DISK: &str = "web01-disk-1.vmdk";

fn damage(kind: &str) -> Value {
    json!({"when": {"object": "disk-1.vmdk"}, "then": {"vmdk": kind}})
}

/// Expands every grain of a file.
fn expand(lab: &Lab, name: &str) -> Result<u64, diskimage::Error> {
    let mut walker = StreamWalker::new(WalkOptions { inflate: true, ..WalkOptions::default() });
    walker.push(&fs::read(lab.target().join(name)).unwrap())?;
    walker.finish().map(|summary| summary.populated_bytes)
}

#[tokio::test]
async fn a_stream_without_its_end_or_with_parts_that_make_no_sense_is_no_disk() {
    for kind in ["no_footer", "no_end_of_stream", "duplicate_grain", "bad_marker"] {
        wrong(damage(kind), ErrorKind::Verification, &[DISK]).await;
    }
}

#[tokio::test]
async fn grains_out_of_order_are_allowed_and_the_disk_is_whole() {
    let (lab, report) = right(damage("disorder")).await;
    let populated = report.files.iter().find(|file| file.name == DISK).unwrap().populated_bytes;
    assert_eq!(expand(&lab, DISK).ok(), populated);
}

#[tokio::test]
async fn a_grain_that_is_too_short_is_found_where_the_disk_is_read() {
    // The manifest proves that it came as the host sent it, which is all that this grade says.
    let (lab, _) = right(damage("short_grain")).await;
    assert!(expand(&lab, DISK).is_err());
    assert!(expand(&lab, "web01-disk-0.vmdk").is_ok());
    // Without a manifest the disk's own checksums are the proof, so it is read.
    let rules = parse_json(&damage("short_grain").to_string()).unwrap();
    let settings = Some(Settings { manifest_unsupported: true, ..Settings::default() });
    let lab = Lab::with_options(WEB01, Options { rules, settings, ..Options::default() }).await;
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Verification, "{}", error.chain());
    assert!(error.chain().contains(DISK), "{}", error.chain());
}
