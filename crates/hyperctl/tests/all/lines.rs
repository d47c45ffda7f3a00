//! Command lines that end at once.

use crate::programs::built;
use crate::support::Place;

#[test]
fn the_version_is_the_line_that_older_callers_read() {
    for args in [&["version"][..], &["-version"], &["--version"]] {
        let ended = Place::new().run(args, &[]);
        let expected = format!("hyperctl version {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((ended.code, ended.out, ended.err.as_str()), (Some(0), expected, ""), "{args:?}");
    }
}

#[test]
fn help_goes_to_standard_output_and_ends_well() {
    for args in [&["help"][..], &["-h"], &["export", "-help"], &["help", "list"]] {
        let ended = Place::new().run(args, &[]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.out.contains("Usage: hyperctl"), "{args:?}: {}", ended.out);
    }
}

#[test]
fn wrong_lines_end_with_2_and_say_why_on_standard_error() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["list", "-nope"],
        &["export"],
        &["list", "-json=2"],
        &["export", "vm1", "-snapshot=memory"],
        &["completion"],
        &["export", "vm1", "-force-off"],
        &["export", "vm1", "-shutdown", "-snapshot"],
        &["submit"],
        &["cancel"],
        &["query", "-status", "done"],
        &["grep"],
        &["grep", "-E", "("],
        &["grep", "-f", "colour", "x"],
        &["vm", "-op", "explode", "-path", "x"],
        &["vm", "-op", "info"],
        &["watch"],
        &["token", "create"],
    ] {
        let ended = Place::new().run(args, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.err.starts_with("error: "), "{args:?}: {}", ended.err);
    }
}

#[test]
fn completions_are_made_for_three_shells_by_flag_and_by_word() {
    for shell in ["bash", "zsh", "fish"] {
        let by_word = Place::new().run(&["completion", shell], &[]);
        let by_flag = Place::new().run(&["completion", "-shell", shell], &[]);
        assert_eq!((by_word.code, by_flag.code), (Some(0), Some(0)));
        assert_eq!(by_word.out, by_flag.out);
        assert!(["hyperctl", "export", "snapshot"].iter().all(|word| by_word.out.contains(word)), "{shell}");
    }
}

#[test]
fn a_named_daemon_that_is_not_there_is_an_error_and_nothing_takes_its_place() {
    // Port 1 of this machine: nothing listens there.
    for (args, environment) in [
        (&["list", "-daemon", "http://localhost:1"][..], &[("GOVC_URL", "https://127.0.0.1:1")][..]),
        (&["-daemon=unix:///nowhere/socket", "export", "vm1"], &[]),
        (&["query", "-id", "a"], &[("HYPERVISORD_URL", "http://127.0.0.1:1/")]),
        (&["status", "-daemon", "http://[::1]:1"], &[("HYPERVISORD_URL", "http://127.0.0.1:8080")]),
        (&["cancel", "-id", "a", "-daemon", "http://localhost:1"], &[]),
        (&["grep", "web"], &[("HYPERVISORD_URL", "http://localhost:1")]),
    ] {
        let ended = Place::new().run(args, environment);
        assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{args:?}: {}", ended.err);
        assert!(ended.err.starts_with("error: ") && ended.err.contains("hint: "), "{}", ended.err);
    }
}

#[test]
fn an_address_that_makes_no_sense_is_a_wrong_line() {
    for address in ["localhost:8080", "ftp://x", "http://user:hidden@h"] {
        let ended = Place::new().run(&["status", "-daemon", address], &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{address}");
        assert!(ended.err.contains("-daemon") && !ended.err.contains("hidden"), "{}", ended.err);
    }
}

#[test]
fn a_daemon_that_cannot_be_started_ends_with_3_and_is_named() {
    let missing = Place::new().run(&["list"], &[("HYPERVISORD_BIN", "/nowhere/hypervisord")]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.err.starts_with("error: start /nowhere/hypervisord: "), "{}", missing.err);
    let broken = Place::new().run(&["list"], &[("HYPERVISORD_BIN", "/bin/false")]);
    assert_eq!(broken.code, Some(3));
    assert!(broken.err.contains("it ended with exit status: 1"), "{}", broken.err);
}

#[test]
fn a_demo_without_a_simulator_says_so() {
    let ended = Place::new().run(&["demo"], &[("VCENTER_SIM_BIN", "/nowhere/vcenter-sim")]);
    assert_eq!(ended.code, Some(3));
    assert!(ended.err.starts_with("error: start /nowhere/vcenter-sim: "), "{}", ended.err);
}

#[test]
fn without_a_source_the_first_line_says_which_variable_is_missing() {
    if built("without_a_source_the_first_line_says_which_variable_is_missing", "hypervisord").is_none() {
        return;
    }
    for args in [&["list"][..], &["list", "-json"], &["export", "vm1"]] {
        for environment in [&[][..], &[("GOVC_URL", "")]] {
            let ended = Place::new().run(args, environment);
            assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{args:?}");
            assert!(ended.err.starts_with("error: ") && ended.err.contains("GOVC_URL"), "{}", ended.err);
        }
    }
}

#[test]
fn a_source_that_is_not_there_ends_with_8_and_no_secret_is_shown() {
    if built("a_source_that_is_not_there_ends_with_8_and_no_secret_is_shown", "hypervisord").is_none() {
        return;
    }
    // Port 1 of this machine: nothing listens there.
    let environment = [("GOVC_URL", "https://user:secret@127.0.0.1:1")];
    for args in [&["list"][..], &["export", "vm1"]] {
        let ended = Place::new().run(args, &environment);
        assert_eq!((ended.code, ended.out.as_str()), (Some(8), ""), "{args:?}: {}", ended.err);
        assert!(ended.err.starts_with("source: https://127.0.0.1:1 (GOVC_URL)\n"), "{}", ended.err);
        assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
}

#[test]
fn a_failed_export_with_json_prints_the_job_and_nothing_else() {
    if built("a_failed_export_with_json_prints_the_job_and_nothing_else", "hypervisord").is_none() {
        return;
    }
    let ended = Place::new().run(&["export", "vm1", "-json"], &[("GOVC_URL", "127.0.0.1:1")]);
    assert_eq!(ended.code, Some(8));
    let job: hyper_api::Job = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(job.state, hyper_api::JobState::Failed);
    assert_eq!(job.problem.unwrap().kind, hyper_api::ProblemKind::Unreachable);
    let output = job.spec.output().unwrap();
    assert!(output.ends_with("export-vm1") && output.is_absolute());
}
