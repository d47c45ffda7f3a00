//! The job store by itself.

use std::fs;
use std::path::Path;

use hyper_api::{ExportSpec, JobId, JobState, Progress, Report};
use hypervisord::jobs::fold::fold;
use hypervisord::jobs::log::{Again, Ended, Entry, Level, Place, Queued};
use hypervisord::jobs::owner::Owner;
use hypervisord::store::{Accepted, ErrorKind, FILE_NAME, Filter, Key, NewJob, Refused, Store};

/// A job that exports `vm`.
pub(crate) fn job(id: &str, vm: &str) -> NewJob {
    let spec = ExportSpec { vm: vm.into(), output: "/out".into(), ..ExportSpec::default() }.into();
    NewJob {
        id: JobId::new(id),
        target: Some(format!("/out {vm}")),
        vm: vm.to_owned(),
        queued: Queued { spec, priority: 0, owner: Owner::Process, place: Place::default(), older: None },
        remarks: Vec::new(),
    }
}

async fn accept(store: &Store, id: &str) -> Accepted {
    store.submit(vec![job(id, id)], None).await.unwrap().remove(0).unwrap()
}

fn ended(state: JobState) -> Vec<Entry> {
    vec![Entry::Ended(Box::new(Ended::without_result(state, None)))]
}

fn again() -> Entry {
    Entry::Requeued { why: Again::Resumed, detail: String::new(), moment: None }
}

#[tokio::test]
async fn what_was_accepted_is_there_after_the_store_was_opened_again_and_the_index_is_the_fold() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let id = accept(&store, "a").await.id;
    store.append(&id, 1, vec![Entry::Started, Entry::Line { level: Level::Info, text: "hello".into() }]).await.unwrap();
    let second = accept(&store, "b").await.id;
    store.append(&second, 1, ended(JobState::Cancelled)).await.unwrap();
    store.requeue(&second, 1, again()).await.unwrap();
    store.close();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    for (id, state, attempt, entries) in [(&id, JobState::Running, 1, 3), (&second, JobState::Pending, 2, 3)] {
        let (row, log) = (store.row(id).await.unwrap().unwrap(), store.log(id).await.unwrap());
        let folded = fold(id, &log).unwrap().job;
        assert_eq!((row.state, row.attempt, row.entries), (state, attempt, entries));
        assert_eq!((folded.state, folded.attempt, log.len()), (row.state, row.attempt, 3));
    }
    store.check().await.unwrap();
}

#[tokio::test]
async fn the_writer_of_an_earlier_attempt_and_of_a_job_that_has_ended_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let id = accept(&store, "a").await.id;
    store.append(&id, 1, vec![Entry::Started]).await.unwrap();
    store.requeue(&id, 1, again()).await.unwrap();
    let kind = |error: hypervisord::store::Error| error.kind();
    assert_eq!(store.append(&id, 1, vec![Entry::Started]).await.map_err(kind), Err(ErrorKind::Stale));
    assert_eq!(store.requeue(&id, 1, again()).await.map_err(kind), Err(ErrorKind::Stale));
    store.append(&id, 2, ended(JobState::Completed)).await.unwrap();
    assert_eq!(store.append(&id, 2, vec![Entry::Started]).await.map_err(kind), Err(ErrorKind::Stale));
    assert_eq!(store.requeue(&id, 2, again()).await.map_err(kind), Err(ErrorKind::Stale), "it has completed");
    assert_eq!(store.append(&JobId::new("no"), 1, vec![]).await.map_err(kind), Err(ErrorKind::Stale));
    assert_eq!(store.log(&id).await.unwrap().len(), 4, "nothing of what was refused is there");
}

#[tokio::test]
async fn a_target_is_worked_on_by_one_job_and_free_when_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let twice = vec![job("a", "web"), job("b", "web"), job("c", "db")];
    let answers = store.submit(twice, None).await.unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err(), &Refused::TargetTaken(JobId::new("a")));
    store.append(&JobId::new("a"), 1, ended(JobState::Failed)).await.unwrap();
    store.submit(vec![job("d", "web")], None).await.unwrap().remove(0).unwrap();
    let taken = store.requeue(&JobId::new("a"), 1, again()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::TargetTaken);
    assert!(taken.to_string().contains("job d"), "{taken}");
    assert_eq!(store.row(&JobId::new("a")).await.unwrap().unwrap().state, JobState::Failed, "it stays as it was");
}

#[tokio::test]
async fn a_repeated_request_makes_no_second_job() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key = |digest: u8| Some(Key { name: "k".into(), digest: [digest; 32] });
    let first = store.submit(vec![job("a", "web"), job("b", "web")], key(1)).await.unwrap();
    let again = store.submit(vec![job("x", "web"), job("y", "web")], key(1)).await.unwrap();
    let first = first[0].as_ref().unwrap();
    let repeated = again[0].as_ref().unwrap();
    assert_eq!((&repeated.id, repeated.is_new, repeated.order), (&first.id, false, first.order));
    assert_eq!(again[1].as_ref().unwrap_err(), &Refused::TargetTaken(JobId::new("a")));
    assert_eq!(store.submit(vec![job("z", "db")], key(2)).await.unwrap_err().kind(), ErrorKind::KeyReused);
    // An id of the caller's own does the same for one job, but not for another.
    let same = store.submit(vec![job("a", "web"), job("a", "other")], None).await.unwrap();
    assert!(!same[0].as_ref().unwrap().is_new);
    assert_eq!(same[1].as_ref().unwrap_err(), &Refused::IdTaken);
    assert_eq!(store.counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_without_a_gap_and_know_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..7 {
        accept(&store, &format!("job-{number}")).await;
    }
    store.append(&JobId::new("job-3"), 1, ended(JobState::Failed)).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.page(Filter { before, limit: 3, ..Filter::default() }).await.unwrap();
        seen.push(page.jobs.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, [vec!["job-6", "job-5", "job-4"], vec!["job-3", "job-2", "job-1"], vec!["job-0"]]);
    let only =
        |states: Vec<JobState>, vm: Option<&str>| Filter { states, vm: vm.map(Into::into), before: None, limit: 9 };
    let count = async |filter| store.page(filter).await.unwrap().jobs.len();
    assert_eq!(count(only(vec![JobState::Failed], None)).await, 1);
    assert_eq!(count(only(vec![JobState::Failed, JobState::Pending], None)).await, 7);
    assert_eq!(count(only(vec![], Some("JOB-5"))).await, 1);
    assert_eq!(count(only(vec![], Some("%"))).await, 0, "a text is a text and no pattern");
}

#[tokio::test]
async fn ended_jobs_are_forgotten_by_number_and_age_and_others_never() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for number in 0..6 {
        let id = accept(&store, &format!("job-{number}")).await.id;
        if number > 0 {
            store.append(&id, 1, ended(JobState::Completed)).await.unwrap();
        }
    }
    let never = "0000".to_owned();
    assert_eq!(store.expire(3, never.clone(), 1).await.unwrap(), 1, "no more at once than asked for");
    assert_eq!(store.expire(3, never.clone(), 100).await.unwrap(), 1);
    assert_eq!(store.expire(3, never, 100).await.unwrap(), 0);
    assert_eq!(store.counts().await.unwrap().completed, 3);
    assert_eq!(store.log(&JobId::new("job-1")).await.unwrap(), [], "its log goes with it");
    assert_eq!(store.expire(100, "9999".into(), 100).await.unwrap(), 3);
    assert_eq!(store.delete(vec![JobId::new("job-0")]).await.unwrap(), 0, "it waits");
    assert_eq!(store.counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn whoever_lags_behind_finds_each_changed_job_once_in_the_order_of_its_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for id in ["a", "b", "c"] {
        accept(&store, id).await;
    }
    let seen = store.newest().await.unwrap();
    store.append(&JobId::new("b"), 1, vec![Entry::Started]).await.unwrap();
    store.append(&JobId::new("a"), 1, vec![Entry::Started]).await.unwrap();
    store.append(&JobId::new("b"), 1, ended(JobState::Failed)).await.unwrap();
    let ids = |ids: &[&str]| ids.iter().map(|id| JobId::new(*id)).collect::<Vec<_>>();
    assert_eq!(store.changed_since(seen, 9).await.unwrap(), ids(&["a", "b"]));
    assert_eq!(store.changed_since(seen, 1).await.unwrap(), ids(&["a"]));
    assert_eq!(store.changed_since(store.newest().await.unwrap(), 9).await.unwrap(), []);
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(Store::open(folder.path()).unwrap_err().kind(), ErrorKind::Locked);
    drop(store);
    Store::open(folder.path()).unwrap();
}

/// A store with some hundred jobs, closed.
async fn filled(folder: &Path) {
    let store = Store::open(folder).unwrap();
    let jobs = (0..300).map(|number| job(&format!("job-{number}"), &format!("vm-{number}"))).collect();
    store.submit(jobs, None).await.unwrap();
    store.close();
}

#[tokio::test]
async fn a_damaged_store_is_refused_by_name_with_what_to_do_and_nothing_of_it_is_touched() {
    for damage in ["head", "middle", "text"] {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        let path = folder.path().join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        match damage {
            "head" => bytes[..16].fill(b'x'),
            // The page of a table or of an index.
            "middle" => {
                let middle = bytes.len() / 2 / 4096 * 4096;
                bytes[middle..middle + 4096].fill(0xA5);
            }
            _ => bytes = b"a shopping list".repeat(1000),
        }
        fs::write(&path, &bytes).unwrap();
        let refused = Store::open(folder.path()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{damage}: {}", refused.chain());
        let text = refused.chain();
        assert!(text.contains(&path.display().to_string()) && text.contains("move "), "{damage}: {text}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{damage}");
    }
}

#[tokio::test]
async fn the_store_of_a_newer_version_and_the_file_of_another_program_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let open = || rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    open().pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(folder.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Newer);
    assert!(refused.to_string().contains("99"), "{refused}");
    let other = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(other.path().join(FILE_NAME)).unwrap();
    connection.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    drop(connection);
    let refused = Store::open(other.path()).unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
}

#[tokio::test]
async fn files_of_the_store_are_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("state");
    let store = Store::open(&directory).unwrap();
    accept(&store, "a").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn entries_of_0_1_are_read_for_ever() {
    let sample = include_str!("../samples/job-log-0.1.jsonl");
    let entries: Vec<_> = sample.lines().map(Entry::from_text).collect();
    assert!(entries.iter().all(|entry| *entry != Entry::Unknown), "{entries:#?}");
    for (entry, line) in entries.iter().zip(sample.lines()) {
        let (again, line): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&entry.to_text().unwrap()).unwrap(), serde_json::from_str(line).unwrap());
        assert_eq!(again, line, "the present version writes the same");
    }
    let Some(Entry::Ended(end)) = entries.last() else { panic!("{entries:?}") };
    let Report { files, .. } = end.report.as_ref().unwrap();
    assert_eq!((end.state, files.len(), &end.progress), (JobState::Completed, 1, &Progress::default()));
}
