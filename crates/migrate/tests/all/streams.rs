//! Streams that are slow, broken, cut or changed.

use std::sync::Arc;
use std::time::Duration;

use migrate::ErrorKind;
use migrate::export::{Phase, Proof};
use tokio_util::sync::CancellationToken;
use vcenter_sim::faults::{CorruptByte, CutAfter, ManifestLie, ManifestLieKind, Settings};

use crate::lab::{Heard, Lab, WEB01, until};

const DISK: &str = "disk-1.vmdk";

fn cut(bytes: u64, times: Option<u32>) -> Option<CutAfter> {
    Some(CutAfter { file: DISK.to_owned(), bytes, times })
}

#[tokio::test]
async fn a_lease_that_would_time_out_is_kept_alive_over_a_long_export() {
    // 24 MiB at most travel per disk; at this rate the first disk takes some 12 s, six timeouts.
    let settings = Settings { lease_timeout_s: 2, bytes_per_second: Some(700 << 10), ..Settings::default() };
    let lab = Lab::with(WEB01, settings).await;
    let report = lab.export("web01").await.unwrap();
    assert!(report.copy_ms > 4_000, "the export was too short to prove anything: {} ms", report.copy_ms);
    assert_eq!(report.proof, Some(Proof::Manifest));
}

#[tokio::test]
async fn renewals_that_fail_for_a_while_do_not_lose_the_lease() {
    let settings =
        Settings { lease_timeout_s: 4, progress_fails: 2, bytes_per_second: Some(2 << 20), ..Settings::default() };
    let lab = Lab::with(WEB01, settings).await;
    lab.export("web01").await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_lost_fails_the_export_at_once() {
    let settings = Settings {
        lease_timeout_s: 1,
        progress_fails: u32::MAX,
        bytes_per_second: Some(256 << 10),
        ..Settings::default()
    };
    let lab = Lab::with(WEB01, settings).await;
    let error = lab.failing_export("web01").await;
    assert!(error.chain().contains("lease"), "{}", error.chain());
}

#[tokio::test]
async fn a_lease_that_takes_its_time_to_become_ready_is_waited_for() {
    let lab = Lab::with(WEB01, Settings { initializing_ms: 3_000, ..Settings::default() }).await;
    lab.export("web01").await.unwrap();
}

#[tokio::test]
async fn a_corrupt_byte_fails_the_export_and_names_the_file() {
    for offset in [70_000, 1_000_000] {
        let corrupt_byte = Some(CorruptByte { file: DISK.to_owned(), offset, times: None });
        let lab = Lab::with(WEB01, Settings { corrupt_byte, ..Settings::default() }).await;
        let error = lab.failing_export("web01").await;
        assert_eq!(error.kind(), ErrorKind::Verification);
        assert!(error.to_string().contains("web01-disk-1.vmdk"), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_with_a_clean_end_is_no_disk() {
    for bytes in [0, 512, 100_000, 1_000_000] {
        let lab = Lab::with(WEB01, Settings { clean_end_after_bytes: cut(bytes, None), ..Settings::default() }).await;
        let error = lab.failing_export("web01").await;
        assert_eq!(error.kind(), ErrorKind::Verification, "{}", error.chain());
        assert!(error.to_string().contains("web01-disk-1.vmdk"), "{}", error.chain());
    }
}

#[tokio::test]
async fn a_connection_that_breaks_once_is_begun_again_and_the_package_is_right() {
    let lab = Lab::with(WEB01, Settings { reset_after_bytes: cut(1_000_000, Some(1)), ..Settings::default() }).await;
    let report = lab.export("web01").await.unwrap();
    assert_eq!(report.proof, Some(Proof::Manifest));
}

#[tokio::test]
async fn a_connection_that_always_breaks_fails_after_a_few_tries() {
    let lab = Lab::with(WEB01, Settings { reset_after_bytes: cut(1_000_000, None), ..Settings::default() }).await;
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("web01-disk-1.vmdk"), "{}", error.chain());
}

#[tokio::test]
async fn a_manifest_that_lies_fails_the_export_and_names_the_file() {
    for kind in [ManifestLieKind::Size, ManifestLieKind::Hash, ManifestLieKind::Missing] {
        let manifest_lie = Some(ManifestLie { kind, file: DISK.to_owned() });
        let lab = Lab::with(WEB01, Settings { manifest_lie, ..Settings::default() }).await;
        let error = lab.failing_export("web01").await;
        assert_eq!(error.kind(), ErrorKind::Verification);
        assert!(error.to_string().contains("web01-disk-1.vmdk"), "{}", error.chain());
    }
}

#[tokio::test]
async fn without_a_manifest_the_report_says_received_and_warns() {
    let lab = Lab::with(WEB01, Settings { manifest_unsupported: true, ..Settings::default() }).await;
    let heard = Arc::new(Heard::default());
    let report = lab.export_heard("web01", &heard).await.unwrap();
    assert_eq!(report.proof, Some(Proof::Received));
    assert!(heard.warnings().iter().any(|warning| warning.contains("no manifest")));
}

#[tokio::test]
async fn without_a_manifest_a_corrupt_byte_is_found_by_the_disks_own_checksums() {
    let corrupt_byte = Some(CorruptByte { file: DISK.to_owned(), offset: 1_000_000, times: None });
    let lab = Lab::with(WEB01, Settings { manifest_unsupported: true, corrupt_byte, ..Settings::default() }).await;
    let error = lab.failing_export("web01").await;
    assert_eq!(error.kind(), ErrorKind::Verification, "{}", error.chain());
    assert!(error.to_string().contains("web01-disk-1.vmdk"), "{}", error.chain());
}

#[tokio::test]
async fn a_stop_at_any_phase_gives_the_vm_back() {
    let settings = Settings { initializing_ms: 500, bytes_per_second: Some(1 << 20), ..Settings::default() };
    for phase in [Phase::Connecting, Phase::Planning, Phase::Preparing, Phase::Copying] {
        let lab = Lab::with(WEB01, settings.clone()).await;
        let heard = Arc::new(Heard::default());
        let cancel = CancellationToken::new();
        let watch = async {
            until("the phase", || heard.reached(phase)).await;
            if phase == Phase::Copying {
                until("bytes", || heard.received_bytes() > 200_000).await;
            }
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            result = lab.export_until("web01", &heard, cancel.clone()) => result.unwrap_err(),
            () = watch => unreachable!(),
        };
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{phase:?}: {}", error.chain());
        assert_eq!(lab.finished_files(), Vec::<String>::new());
        // The same command again brings it.
        lab.change(|settings| *settings = Settings::default());
        lab.export("web01").await.unwrap();
    }
}

#[tokio::test]
async fn an_export_whose_future_is_dropped_still_gives_the_vm_back() {
    let lab = Lab::with(WEB01, Settings { bytes_per_second: Some(256 << 10), ..Settings::default() }).await;
    let heard = Arc::new(Heard::default());
    tokio::select! {
        _ = lab.export_heard("web01", &heard) => unreachable!("it takes a minute"),
        () = until("bytes", || heard.received_bytes() > 100_000) => {}
    }
    until("the lease's end", || lab.open("leases") == 0).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(lab.finished_files(), Vec::<String>::new());
}
