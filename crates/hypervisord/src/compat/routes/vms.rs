//! The VMs of the source.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use hyper_api::{Problem, ProblemKind, Vm};

use super::super::document::{Fields, IllTyped, Node};
use super::super::replies::{VmDetails, VmInfo, VmList};
use super::super::source::Wanted;
use super::super::submission::{self, Unreadable};
use super::super::{find, text};
use super::ask::{Ask, received};
use crate::engine::Engine;
use crate::jobs::vm_on_wire;
use crate::problems::{self, problem, refusal};

/// What a request about VMs may say.
#[derive(Debug, Default)]
struct Asked {
    vm_path: String,
    server: String,
    has_login: bool,
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
            Ok(Asked { vm_path: String::new(), server: server(&fields)?, has_login: has_login(&fields)? })
        })?,
    };
    let vms = all(ask, &asked).await?;
    Ok(VmList::new(vms.iter().map(VmInfo::from).collect(), ask.view.timestamp()))
}

pub(super) async fn info(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    ask.answer(informed(&ask, body).await)
}

async fn informed(ask: &Ask, body: Result<Bytes, BytesRejection>) -> Result<VmDetails, Box<Problem>> {
    let asked = about_one(ask, &received(body)?)?;
    let vms = all(ask, &asked).await?;
    let vm = find::one(&vms, &asked.vm_path)?;
    Ok(VmDetails { success: true, vm_info: VmInfo::from(vm), timestamp: ask.view.timestamp() })
}

/// Answers what changes a VM. A failure is never a 200: the older client looks at nothing else.
pub(super) async fn not_built(ask: Ask, body: Result<Bytes, BytesRejection>) -> Response {
    let refused = received(body).and_then(|body| about_one(&ask, &body)).and_then(|asked| {
        let mut problem = problem(ProblemKind::Internal, format!("change VM {}: not built yet", asked.vm_path));
        problem.status = 501;
        Err(Box::new(problem))
    });
    ask.answer::<VmList>(refused)
}

/// Reads a request about one VM.
fn about_one(ask: &Ask, body: &Bytes) -> Result<Asked, Box<Problem>> {
    let asked = read(ask, body, |node| {
        let fields = node.fields("")?;
        let vcenter = fields.fields("vcenter")?;
        Ok(Asked {
            vm_path: fields.text("vm_path")?.unwrap_or_default(),
            server: vcenter.as_ref().map(server).transpose()?.unwrap_or_default(),
            has_login: vcenter.as_ref().map(has_login).transpose()?.unwrap_or_default(),
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

/// Returns all VMs of the source that is meant, with the capacities of their disks.
async fn all(ask: &Ask, asked: &Asked) -> Result<Vec<Vm>, Box<Problem>> {
    let (source, engine) = engine(ask)?;
    let bare = text::without_user(&asked.server);
    let wanted = Wanted { has_login: asked.has_login || bare != asked.server, addresses: vec![&bare] };
    wanted.check(source).map_err(|reason| refusal(ProblemKind::Usage, format!("ask the source: {reason}")))?;
    let engine = Arc::clone(engine);
    let listed = ask.state.jobs.ask(|stop| async move { engine.list(true, stop).await }).await?;
    let listed = listed.map_err(|error| Box::new(of_the_source(problems::from_migrate(&error))))?;
    Ok(listed.into_iter().map(vm_on_wire).collect())
}

/// Returns the configured source, or why there is none: 503, so that a client does not take it for its own fault.
fn engine(ask: &Ask) -> Result<(&str, &Arc<dyn Engine>), Box<Problem>> {
    match &ask.state.configured.engine {
        Ok((source, engine)) => Ok((source, engine)),
        Err(reason) => {
            let mut reason = reason.clone();
            reason.status = 503;
            Err(Box::new(reason))
        }
    }
}

/// A privilege that the configured account lacks is the source's refusal, and none of the caller's.
fn of_the_source(mut problem: Problem) -> Problem {
    if problem.kind == ProblemKind::Permission {
        problem.status = 502;
    }
    problem
}
