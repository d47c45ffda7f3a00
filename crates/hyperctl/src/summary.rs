//! What a job that came to its end says. Of an export: VM, files, bytes, rate, proof, and where the package lies.

mod conversion;
mod verification;

use hyper_api::{Consistency, FileReport, Job, Proof, Report};

use crate::escape::escape;
use crate::human;
use crate::table;

/// Returns the summary of a job that came to its end; of any other nothing, its error says it all.
pub(crate) fn completed(job: &Job) -> String {
    let parts = [
        job.report.as_ref().map(report),
        job.conversion.as_ref().map(conversion::text),
        job.verification.as_ref().map(verification::text),
    ];
    parts.into_iter().flatten().collect()
}

fn report(report: &Report) -> String {
    let rate = human::mean_rate(report.received_bytes, report.copy_ms).map(|rate| format!(" ({rate})"));
    let received = format!(
        "{} in {}{}",
        human::bytes(report.received_bytes),
        human::milliseconds(report.copy_ms),
        rate.unwrap_or_default()
    );
    let mut text = String::new();
    let snapshot = report.snapshot.as_ref().map(|snapshot| ("Snapshot", state(snapshot.consistency).to_owned()));
    let rows = [
        Some(("VM", escape(&report.vm_path).into_owned())),
        snapshot,
        Some(("Package", escape(&report.directory.join(&report.descriptor).to_string_lossy()).into_owned())),
        Some(("Received", received)),
        Some(("Proof", report.proof.map_or("no disks to prove", explain).to_owned())),
    ];
    for (label, value) in rows.into_iter().flatten() {
        text.push_str(&format!("{label:<9} {value}\n"));
    }
    let rows: Vec<_> = report.files.iter().map(row).collect();
    text.push('\n');
    text.push_str(&table::aligned(&["FILE", "SIZE", "CAPACITY", "PROOF", "SHA-256"], &rows));
    text
}

fn row(file: &FileReport) -> Vec<String> {
    vec![
        escape(&file.name).into_owned(),
        human::bytes(file.size_bytes),
        file.capacity_bytes.map_or_else(|| "-".to_owned(), human::bytes),
        file.proof.map_or("-", word).to_owned(),
        escape(&file.sha256).into_owned(),
    ]
}

/// Says what a guest finds that starts from a snapshot.
fn state(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Crash => "crash-consistent (the guest finds its disks as after a loss of power)",
        Consistency::Quiesced => "quiesced (the guest had brought its file systems to rest)",
        Consistency::PoweredOff => "of a VM that was off",
        _ => "unknown (a state of a newer daemon)",
    }
}

fn word(proof: Proof) -> &'static str {
    match proof {
        Proof::Received => "received",
        Proof::Manifest => "manifest",
        _ => "unknown",
    }
}

fn explain(proof: Proof) -> &'static str {
    match proof {
        Proof::Received => "received (complete streams of the right size; the host gave no hash)",
        Proof::Manifest => "manifest (the host's own hash of every stream equals ours)",
        _ => "unknown (a grade of a newer daemon)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_export_says_what_where_and_how_sure() {
        let sample = include_str!("../../hyper-api/tests/samples/job-completed-0.1.json");
        let mut job: Job = serde_json::from_str(sample).unwrap();
        insta::assert_snapshot!(completed(&job), @"
        VM        /DC0/vm/web/web01
        Package   /srv/export/web01/web01.ovf
        Received  2.0 MiB in 1.5 s (1.3 MiB/s)
        Proof     manifest (the host's own hash of every stream equals ours)

        FILE               SIZE     CAPACITY  PROOF     SHA-256
        web01-disk-0.vmdk  2.0 MiB  8.0 MiB   manifest  e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        web01.ovf          2.9 KiB  -         -         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        ");
        job.report = None;
        assert_eq!(completed(&job), "");
    }

    #[test]
    fn a_conversion_says_what_was_made_and_what_was_kept() {
        let sample = include_str!("../../hyper-api/tests/samples/job-convert-0.1.json");
        let job: Job = serde_json::from_str(sample).unwrap();
        insta::assert_snapshot!(completed(&job), @"
        Output    /srv/web01.qcow2
        Format    qcow2
        Read      3.0 MiB in 0.9 s (3.3 MiB/s)
        Kept      1.0 MiB that an earlier run had written

        DISK         CAPACITY  CONTENT (BLAKE3)
        web01.qcow2  8.0 MiB   af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262

        FILE              SIZE     ON DISK
        /srv/web01.qcow2  4.3 MiB  4.3 MiB
        ");
    }

    #[test]
    fn a_verification_names_every_file() {
        let sample = include_str!("../../hyper-api/tests/samples/job-verify-0.1.json");
        let mut job: Job = serde_json::from_str(sample).unwrap();
        job.verification.as_mut().unwrap().missing.push("a\nb".into());
        insta::assert_snapshot!(completed(&job), @r"
        FILE               RESULT
        web01.ovf          right
        web01-disk-0.vmdk  WRONG: SHA1 is 86f7e437faa5a7fce15d1ddcb9eaeaea377667b8, the manifest says da39a3ee5e6b4b0d3255bfef95601890afd80709
        a\u{a}b            MISSING
        web01.nvram        not in the manifest

        1 file is as the manifest says; 300 B read
        ");
    }

    #[test]
    fn an_export_of_a_snapshot_says_what_its_disks_hold() {
        let sample = include_str!("../../hyper-api/tests/samples/job-snapshot-0.1.json");
        let job: Job = serde_json::from_str(sample).unwrap();
        let text = completed(&job);
        assert!(text.contains("Snapshot  crash-consistent"), "{text}");
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let sample = include_str!("../../hyper-api/tests/samples/job-completed-0.1.json");
        let mut job: Job = serde_json::from_str(sample).unwrap();
        let report = job.report.as_mut().unwrap();
        report.vm_path = "/DC0/vm/a\nProof     source\u{1b}[8m".into();
        report.files[0].name = "a\u{202e}b\r.vmdk".into();
        let text = completed(&job);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("Proof")).count(), 1, "{text}");
    }
}
