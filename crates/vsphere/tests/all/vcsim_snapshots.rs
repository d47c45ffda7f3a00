//! Tasks and snapshots against vcsim, a server that we did not write.

use tokio_util::sync::CancellationToken;
use vsphere::snapshot::{self, NewSnapshot, Snapshot};
use vsphere::wire::generated::{Logout, PowerOffVMTask};
use vsphere::{ErrorKind, Session, inventory, task};

use crate::vcsim::session;

fn new(name: &str) -> NewSnapshot {
    NewSnapshot { name: name.into(), description: "made by a test".into(), quiesce: true }
}

async fn names(session: &Session, vm: &inventory::Vm) -> Vec<String> {
    snapshot::list(session, &vm.moref).await.unwrap().into_iter().map(|found| found.name).collect()
}

#[tokio::test]
async fn a_snapshot_is_made_seen_and_removed_and_others_stay() {
    let Some((_vcsim, session)) = session("a_snapshot_is_made_seen_and_removed_and_others_stay", &[]).await else {
        return;
    };
    let never = CancellationToken::new();
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap();
    let foreign = Snapshot::create(&session, &vm.moref, &new("foreign"), &never, &never, |_| {}).await.unwrap();
    let ours = Snapshot::create(&session, &vm.moref, &new("ours"), &never, &never, |_| {}).await.unwrap();
    assert_eq!(names(&session, &vm).await, ["foreign", "ours"]);
    assert!(!ours.remove(&never).await.unwrap().goes_on);
    assert_eq!(names(&session, &vm).await, ["foreign"]);
    foreign.remove(&never).await.unwrap();
    assert_eq!(names(&session, &vm).await, Vec::<String>::new());
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_dropped_snapshot_removes_itself() {
    let Some((_vcsim, session)) = session("a_dropped_snapshot_removes_itself", &[]).await else { return };
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap();
    let made =
        Snapshot::create(&session, &vm.moref, &new("s"), &CancellationToken::new(), &CancellationToken::new(), |_| {})
            .await
            .unwrap();
    drop(made);
    for _ in 0..500 {
        if names(&session, &vm).await.is_empty() {
            return session.logout().await.unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the snapshot stays");
}

#[tokio::test]
async fn a_stop_leaves_no_snapshot() {
    let Some((_vcsim, session)) = session("a_stop_leaves_no_snapshot", &[]).await else { return };
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap();
    let (stopped, never) = (CancellationToken::new(), CancellationToken::new());
    stopped.cancel();
    let error = Snapshot::create(&session, &vm.moref, &new("s"), &stopped, &never, |_| {}).await.unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Cancelled, "{error:?}");
    assert_eq!(error.removed.unwrap(), snapshot::Removed::default());
    assert_eq!(names(&session, &vm).await, Vec::<String>::new());
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_that_somebody_else_has_removed_is_removed() {
    let test = "a_snapshot_that_somebody_else_has_removed_is_removed";
    let Some((_vcsim, session)) = session(test, &[]).await else { return };
    let never = CancellationToken::new();
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap();
    let made = Snapshot::create(&session, &vm.moref, &new("s"), &never, &never, |_| {}).await.unwrap();
    snapshot::remove(&session, made.moref(), "s", &never).await.unwrap();
    made.remove(&never).await.unwrap();
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_removed_also_when_the_session_is_gone() {
    let test = "a_snapshot_is_removed_also_when_the_session_is_gone";
    let Some((_vcsim, session)) = session(test, &[]).await else { return };
    let never = CancellationToken::new();
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap();
    let made = Snapshot::create(&session, &vm.moref, &new("s"), &never, &never, |_| {}).await.unwrap();
    let manager = session.content().session_manager.clone().unwrap();
    session.call(&manager, &Logout { this: manager.clone() }).await.unwrap();
    made.remove(&never).await.unwrap();
    assert_eq!(names(&session, &vm).await, Vec::<String>::new());
    session.logout().await.unwrap();
}

#[tokio::test]
async fn a_task_that_ends_in_an_error_says_what_and_why() {
    let Some((_vcsim, session)) = session("a_task_that_ends_in_an_error_says_what_and_why", &[]).await else { return };
    let never = CancellationToken::new();
    let vm = inventory::find(&session, "DC0_H0_VM0").await.unwrap().moref;
    let waiting =
        task::Waiting { doing: "power off the VM", limit: std::time::Duration::from_secs(60), cancel: &never };
    let off = session.call(&vm, &PowerOffVMTask { this: vm.clone() }).await.unwrap();
    task::wait(&session, &off, waiting, |_| {}).await.unwrap();
    let again = session.call(&vm, &PowerOffVMTask { this: vm.clone() }).await.unwrap();
    let error = task::wait(&session, &again, waiting, |_| {}).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::State, "power off the VM"));
    assert_eq!(error.fault().unwrap().type_name(), "InvalidPowerState");
    session.logout().await.unwrap();
}
