//! The VMs of the source.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use hyper_api::{Problem, ProblemKind, Vm, VmOperation, VmRequest};
use migrate::vm::Outcome;

use super::super::document::{Fields, IllTyped, Node};
use super::super::replies::{Done, VmDetails, VmInfo, VmList};
use super::super::source::Wanted;
use super::super::submission::{self, Unreadable};
use super::super::{find, text};
use super::ask::{Ask, received};
use crate::engine::Engine;
use crate::exports;
use crate::jobs::vm_on_wire;
use crate::problems::{self, refusal};

/// What a request about VMs may say.
#[derive(Debug, Default)]
struct Asked {
    vm_path: String,
    server: String,
    has_login: bool,
    limit_s: Option<u64>,
}

pub(super) async fn list(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    ask.answer(listed(&ask, body).await)
}

async fn listed(ask: &Ask, body: Result<Bytes, BytesRejection>) -> Result<VmList, Box<Problem>> {
    let body = received(body)?;
    let asked = match body.is_empty() {
        true => Asked::default(),
        // Here the fields of a vCenter are the body.
        false => read(ask, &body, |node| {
            let fields = node.fields("")?;
            Ok(Asked { server: server(&fields)?, has_login: has_login(&fields)?, ..Asked::default() })
        })?,
    };
    let vms = all(ask, &asked, true).await?;
    Ok(VmList::new(vms.iter().map(VmInfo::from).collect(), ask.view.timestamp()))
}

pub(super) async fn info(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    let outcome = operated(&ask, body, VmOperation::Info).await;
    ask.answer(outcome.map(|outcome| {
        let vm_info = VmInfo::from(&vm_on_wire(outcome.vm));
        VmDetails { success: true, vm_info, timestamp: ask.view.timestamp() }
    }))
}

pub(super) async fn shutdown(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    done(&ask, operated(&ask, body, VmOperation::Shutdown).await)
}

pub(super) async fn power_off(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    done(&ask, operated(&ask, body, VmOperation::PowerOff).await)
}

pub(super) async fn remove_cdrom(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    done(&ask, operated(&ask, body, VmOperation::RemoveCdrom).await)
}

/// Answers what changed a VM. A failure is never a 200: the older client looks at nothing else.
fn done(ask: &Ask, outcome: Result<Outcome, Box<Problem>>) -> Response {
    ask.answer(outcome.map(|outcome| Done {
        success: true,
        message: text::one_line(&format!("{}: {}", outcome.vm.path, outcome.done)),
        timestamp: ask.view.timestamp(),
    }))
}

async fn operated(
    ask: &Ask,
    body: Result<Bytes, BytesRejection>,
    operation: VmOperation,
) -> Result<Outcome, Box<Problem>> {
    let asked = about_one(ask, &received(body)?)?;
    let engine = Arc::clone(source(ask, &asked)?);
    // The engine knows paths. A name or an id is looked up first: a name may fit several VMs.
    let vm = match asked.vm_path.contains('/') {
        true => asked.vm_path.clone(),
        false => find::one(&all(ask, &asked, false).await?, &asked.vm_path)?.path.clone(),
    };
    let operation = exports::operation(operation, &VmRequest { vm: vm.clone(), limit_s: asked.limit_s });
    let outcome = ask.state.jobs.ask(|stop| async move { engine.operate(&vm, operation, stop).await }).await?;
    outcome.map_err(|error| Box::new(of_the_source(problems::from_migrate(&error))))
}

/// Reads a request about one VM.
fn about_one(ask: &Ask, body: &Bytes) -> Result<Asked, Box<Problem>> {
    let asked = read(ask, body, |node| {
        let fields = node.fields("")?;
        let vcenter = fields.fields("vcenter")?;
        let limit = fields.integer("timeout")?.map(u64::try_from).transpose();
        Ok(Asked {
            vm_path: fields.text("vm_path")?.unwrap_or_default(),
            server: vcenter.as_ref().map(server).transpose()?.unwrap_or_default(),
            has_login: vcenter.as_ref().map(has_login).transpose()?.unwrap_or_default(),
            limit_s: limit.map_err(|_| Unreadable::new("timeout is less than zero"))?,
        })
    })?;
    if asked.vm_path.trim().is_empty() {
        return Err(refusal(ProblemKind::Usage, "find the VM: there is no vm_path"));
    }
    if text::has_controls(&asked.vm_path) {
        return Err(refusal(ProblemKind::Usage, "find the VM: its vm_path holds control characters"));
    }
    Ok(asked)
}

fn server(fields: &Fields<'_>) -> Result<String, IllTyped> {
    Ok(fields.text("server")?.unwrap_or_default())
}

fn has_login(fields: &Fields<'_>) -> Result<bool, IllTyped> {
    let is_set = |key| fields.text(key).map(|value| value.is_some_and(|value| !value.is_empty()));
    Ok(is_set("username")? || is_set("password")?)
}

fn read(ask: &Ask, body: &Bytes, take: impl Fn(&Node) -> Result<Asked, Unreadable>) -> Result<Asked, Box<Problem>> {
    submission::read_object(body, ask.content_type.as_deref(), take)
        .map_err(|error| refusal(ProblemKind::Usage, format!("read the request: {error}")))
}

/// Returns all VMs of the source that is meant, with the `capacities` of their disks or without.
async fn all(ask: &Ask, asked: &Asked, capacities: bool) -> Result<Vec<Vm>, Box<Problem>> {
    let engine = Arc::clone(source(ask, asked)?);
    let listed = ask.state.jobs.ask(|stop| async move { engine.list(capacities, stop).await }).await?;
    let listed = listed.map_err(|error| Box::new(of_the_source(problems::from_migrate(&error))))?;
    Ok(listed.into_iter().map(vm_on_wire).collect())
}

/// Returns the configured source when it is the one that is meant. Without any it is 503, so that a client does not
/// take it for its own fault.
fn source<'a>(ask: &'a Ask, asked: &Asked) -> Result<&'a Arc<dyn Engine>, Box<Problem>> {
    let (name, engine) = ask.state.configured.engine.as_ref().map_err(|reason| {
        let mut reason = reason.clone();
        reason.status = 503;
        Box::new(reason)
    })?;
    let bare = text::without_user(&asked.server);
    let wanted = Wanted { has_login: asked.has_login || bare != asked.server, addresses: vec![&bare] };
    wanted.check(name).map_err(|reason| refusal(ProblemKind::Usage, format!("ask the source: {reason}")))?;
    Ok(engine)
}

/// A privilege that the configured account lacks is the source's refusal, and none of the caller's.
fn of_the_source(mut problem: Problem) -> Problem {
    if problem.kind == ProblemKind::Permission {
        problem.status = 502;
    }
    problem
}
