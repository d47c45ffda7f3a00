use hyper_api::{ExportSpec, JobSpec, Problem, ProblemKind};
use proptest::prelude::*;

use super::super::log::{Output, Queued};
use super::*;

const T: &str = "2026-11-24T10:00:00.000000Z";

fn spec() -> JobSpec {
    ExportSpec { vm: "web01".into(), output: "/out".into(), ..ExportSpec::default() }.into()
}

fn queued() -> Entry {
    let place = Place { source: Some("https://vc".into()), host: None, vm_path: Some("/DC0/vm/web01".into()) };
    Entry::Queued(Box::new(Queued { spec: spec(), priority: 3, owner: Owner::Process, place, older: None }))
}

fn ended(state: JobState) -> Entry {
    let problem = (state == JobState::Failed).then(|| Problem::new(ProblemKind::Server, 502, "it broke"));
    Entry::Ended(Box::new(Ended::without_result(state, problem)))
}

fn requeued(why: Again) -> Entry {
    Entry::Requeued { why, detail: String::new(), moment: Some(moment()) }
}

fn moment() -> Moment {
    Moment { wall_ms: 7, boot: "b".into(), boot_ms: 7 }
}

fn hold(lease: &str) -> Entry {
    Entry::Holding(Hold { lease: lease.into(), vm: "/DC0/vm/web01".into(), renewed: moment(), lasts_ms: 9 })
}

/// Numbers entries as the store does: the attempt counts up with each that queues the job again.
fn log(entries: Vec<Entry>) -> Vec<Record> {
    let mut attempt = 1;
    let record = |(number, entry): (u64, Entry)| {
        attempt += u32::from(matches!(entry, Entry::Requeued { .. }));
        Record { number, sequence: number * 2, attempt, at: T.to_owned(), entry }
    };
    (1..).zip(entries).map(record).collect()
}

fn folded(entries: Vec<Entry>) -> Folded {
    fold(&JobId::new("j"), &log(std::iter::once(queued()).chain(entries).collect())).unwrap()
}

#[test]
fn the_state_follows_the_entries() {
    use JobState::{Cancelled, Completed, Failed, Pending, Running};
    let copying = || Entry::StepStarted { step: Phase::Copying };
    for (entries, state, phase, attempt) in [
        (vec![], Pending, Phase::Waiting, 1),
        (vec![Entry::Started], Running, Phase::Connecting, 1),
        (vec![Entry::Started, copying()], Running, Phase::Copying, 1),
        (vec![Entry::Started, copying(), ended(Completed)], Completed, Phase::Copying, 1),
        (vec![Entry::Started, copying(), ended(Failed)], Failed, Phase::Copying, 1),
        (vec![ended(Cancelled)], Cancelled, Phase::Waiting, 1),
        (vec![Entry::Started, copying(), requeued(Again::Interrupted)], Pending, Phase::Waiting, 2),
        (vec![Entry::Started, ended(Failed), requeued(Again::Resumed), Entry::Started], Running, Phase::Connecting, 2),
        // What makes no sense where it stands changes nothing.
        (vec![copying()], Pending, Phase::Waiting, 1),
        (vec![queued()], Pending, Phase::Waiting, 1),
        (vec![Entry::Started, ended(Running)], Running, Phase::Connecting, 1),
        (vec![Entry::Started, ended(Completed), ended(Failed)], Completed, Phase::Connecting, 1),
        (vec![Entry::Started, ended(Completed), requeued(Again::Resumed)], Completed, Phase::Connecting, 1),
        (vec![Entry::Started, ended(Cancelled), Entry::Started], Cancelled, Phase::Connecting, 1),
        (vec![Entry::Unknown, Entry::Started, Entry::Unknown], Running, Phase::Connecting, 1),
    ] {
        let shown = format!("{entries:?}");
        let job = folded(entries).job;
        assert_eq!((job.state, job.phase, job.attempt), (state, phase, attempt), "{shown}");
    }
}

#[test]
fn a_resumed_job_has_nothing_of_its_end_left_and_everything_of_its_beginning() {
    let folded = folded(vec![Entry::Started, ended(JobState::Failed), requeued(Again::Resumed)]);
    assert_eq!((folded.job.problem, folded.job.ended_at), (None, None));
    assert_eq!((folded.job.started_at.as_deref(), folded.job.priority), (Some(T), 3));
    assert_eq!((folded.job.vm_path.as_deref(), folded.sequence), (Some("/DC0/vm/web01"), 8));
}

#[test]
fn a_lease_is_held_until_it_is_released_by_its_name() {
    assert_eq!(folded(vec![Entry::Started, hold("a")]).hold.unwrap().lease, "a");
    let released = |lease: &str| Entry::Released { lease: lease.into() };
    assert!(folded(vec![Entry::Started, hold("a"), released("b")]).hold.is_some());
    let gone = folded(vec![Entry::Started, hold("a"), released("a")]);
    assert_eq!((gone.hold, gone.claimed), (None, true));
    let cut_off = folded(vec![Entry::Started, hold("a"), requeued(Again::Interrupted), Entry::Started]);
    assert_eq!((cut_off.hold.unwrap().lease.as_str(), cut_off.interrupted), ("a", Some(moment())));
}

#[test]
fn failures_in_a_row_are_counted_and_a_person_who_resumes_begins_anew() {
    let failed = || [Entry::Started, requeued(Again::Failed)];
    let twice: Vec<_> = failed().into_iter().chain(failed()).collect();
    assert_eq!(folded(twice.clone()).failures, 2);
    let interrupted = [Entry::Started, requeued(Again::Interrupted)];
    assert_eq!(folded(twice.iter().cloned().chain(interrupted).collect()).failures, 2);
    let resumed = [Entry::Started, ended(JobState::Failed), requeued(Again::Resumed)];
    assert_eq!(folded(twice.into_iter().chain(resumed).collect()).failures, 0);
}

#[test]
fn a_stop_that_was_asked_for_is_remembered_until_the_end() {
    let asked = || Entry::CancelAsked { by: "uid 7".into() };
    assert!(folded(vec![Entry::Started, asked()]).cancel_asked);
    assert!(folded(vec![Entry::Started, asked(), requeued(Again::Interrupted)]).cancel_asked);
    assert!(!folded(vec![Entry::Started, asked(), ended(JobState::Cancelled)]).cancel_asked);
    assert!(!folded(vec![Entry::Started, ended(JobState::Failed), asked()]).cancel_asked);
}

#[test]
fn warnings_are_kept_once_and_not_without_end() {
    let warning = |number: u32| Entry::Line { level: Level::Warning, text: number.to_string() };
    let job = folded((0..500).chain(0..1).map(warning).collect()).job;
    assert_eq!((job.warnings.len(), job.warnings[0].as_str(), job.warnings[99].as_str()), (100, "0", "499"));
}

#[test]
fn a_log_without_its_beginning_is_no_job() {
    assert_eq!(fold(&JobId::new("j"), &[]), None);
    assert_eq!(fold(&JobId::new("j"), &log(vec![Entry::Started])), None);
}

fn any_state() -> impl Strategy<Value = JobState> {
    use JobState::{Cancelled, Completed, Failed, Pending, Running};
    prop::sample::select(vec![Pending, Running, Completed, Failed, Cancelled])
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let step = prop::sample::select(vec![Phase::Connecting, Phase::Copying, Phase::Undoing, Phase::Unknown]);
    let why = prop::sample::select(vec![Again::Interrupted, Again::Failed, Again::Resumed, Again::Unknown]);
    prop_oneof![
        Just(Entry::Started),
        Just(queued()),
        Just(Entry::Unknown),
        step.clone().prop_map(|step| Entry::StepStarted { step }),
        step.clone().prop_map(|step| Entry::StepSucceeded { step, output: Output::default() }),
        step.prop_map(|step| Entry::StepFailed { step }),
        "[ab]".prop_map(|lease| hold(&lease)),
        "[ab]".prop_map(|lease| Entry::Released { lease }),
        ".{0,9}".prop_map(|text| Entry::Line { level: Level::Warning, text }),
        ".{0,9}".prop_map(|reason| Entry::Waiting { reason, until: None }),
        Just(Entry::CancelAsked { by: "x".into() }),
        any::<i32>().prop_map(|priority| Entry::Reprioritised { priority }),
        why.prop_map(requeued),
        any_state().prop_map(ended),
    ]
}

proptest! {
    #[test]
    fn every_prefix_of_every_log_folds_and_what_is_seen_never_goes_back(
        entries in prop::collection::vec(any_entry(), 0..60),
    ) {
        let records = log(std::iter::once(queued()).chain(entries).collect());
        let mut revision = 0;
        for end in 1..=records.len() {
            let folded = fold(&JobId::new("j"), &records[..end]).unwrap();
            let job = &folded.job;
            prop_assert!(job.revision > revision);
            revision = job.revision;
            prop_assert_eq!(job.state.is_final(), job.ended_at.is_some());
            prop_assert!(job.problem.is_none() || job.state == JobState::Failed);
            prop_assert!(job.waiting_for.is_none() || job.state == JobState::Running);
            prop_assert!(job.state != JobState::Running || job.started_at.is_some());
        }
    }

    #[test]
    fn every_entry_is_read_back_as_it_was_written(entry in any_entry()) {
        let again = Entry::from_text(&entry.to_text().unwrap());
        prop_assert_eq!(again, entry);
    }
}
