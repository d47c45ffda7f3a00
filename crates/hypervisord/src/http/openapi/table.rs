//! What each route takes and answers. A row is added with its route.

use axum::http::Method;
use hyper_api::{
    BatchReply, Info, InspectRequest, Inspection, Job, JobList, JobSpec, LogList, NewToken, TokenList, TokenSpec,
    VmDetail, VmList, VmRequest,
};
use utoipa::openapi::Type;
use utoipa::openapi::path::ParameterIn;

use super::Shape;

/// One job to be done, as a body has it.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what `hyper_api::JobRequest` reads")]
struct JobRequest {
    /// An id that the caller has made, so that a repeated request makes no second job.
    id: Option<String>,
    /// Jobs of a higher priority go first; from -1000 to 1000, 0 unless given.
    priority: Option<i32>,
    /// What to do.
    #[serde(flatten)]
    spec: JobSpec,
}

/// Many jobs to be done.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what `hyper_api::BatchBody` reads")]
struct BatchBody {
    /// The jobs.
    jobs: Vec<JobRequest>,
}

/// What can be changed of a job that was accepted.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what the handler reads")]
struct JobChanges {
    /// Jobs of a higher priority go first; from -1000 to 1000.
    priority: i32,
}

/// What a route takes and answers.
pub(super) struct Described {
    /// The name of the operation, for generated clients.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// Its parameters besides the variables of its path.
    pub(super) inputs: Vec<Input>,
    /// Its body.
    pub(super) body: Option<Shape>,
    /// What it answers when all is well.
    pub(super) answer: (u16, Answer),
    /// The status of the same answer to a request that was answered before.
    pub(super) repeated: Option<u16>,
    /// Statuses of errors beyond those that every route has.
    pub(super) errors: &'static [u16],
}

/// A parameter.
pub(super) struct Input {
    pub(super) place: ParameterIn,
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) what: &'static str,
}

/// What an answer is made of.
pub(super) enum Answer {
    /// No body.
    Nothing,
    /// A type of the wire.
    Json(Shape),
    /// An object for machines that look no further than the status.
    Object,
    /// Text of this media type.
    Text(&'static str),
}

/// What a source may be at fault for: it is not reached, refuses, answers nonsense, takes too long; there is none.
const SOURCE: &[u16] = &[404, 409, 422, 502, 503, 504];

/// What a store that cannot be read or written leads to.
const STORE: &[u16] = &[503, 507];

/// What can be wrong with a job that is there or not.
const JOB: &[u16] = &[404, 409, 422, 503, 507];

/// What can be wrong with a job to be: its VM and its target are looked at.
const SUBMIT: &[u16] = &[404, 409, 422, 502, 503, 504, 507];

/// What the tokens of a private child, and a full disk, lead to.
const TOKENS: &[u16] = &[404, 409, 422, 503];

impl Described {
    fn new(name: &'static str, summary: &'static str, status: u16, answer: Answer) -> Self {
        Self { name, summary, inputs: Vec::new(), body: None, answer: (status, answer), repeated: None, errors: &[] }
    }

    fn json<T: utoipa::ToSchema>(name: &'static str, summary: &'static str, status: u16) -> Self {
        Self::new(name, summary, status, Answer::Json(Shape::of::<T>()))
    }

    fn takes<T: utoipa::ToSchema>(self) -> Self {
        Self { body: Some(Shape::of::<T>()), ..self }
    }

    fn input(mut self, place: ParameterIn, name: &'static str, kind: Type, what: &'static str) -> Self {
        self.inputs.push(Input { place, name, kind, what });
        self
    }

    fn keyed(self) -> Self {
        let what = "A key of the caller's own: the same request with the same key is accepted once.";
        self.input(ParameterIn::Header, "Idempotency-Key", Type::String, what)
    }

    const fn fails(mut self, errors: &'static [u16]) -> Self {
        self.errors = errors;
        self
    }

    /// Returns the types that it is made of.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let answer = match &self.answer.1 {
            Answer::Json(shape) => Some(shape.clone()),
            _ => None,
        };
        self.body.iter().cloned().chain(answer).collect()
    }
}

/// Returns the row of a route.
pub(super) fn described(method: &Method, path: &str) -> Option<Described> {
    let route = (method.as_str(), path);
    of_the_daemon(route).or_else(|| of_vms(route)).or_else(|| of_jobs(route)).or_else(|| of_tokens(route))
}

fn of_the_daemon(route: (&str, &str)) -> Option<Described> {
    Some(match route {
        ("GET", "/healthz") => Described::new("healthz", "Says that the process answers.", 200, Answer::Object),
        ("GET", "/readyz") => Described::new("readyz", "Says that it takes jobs.", 200, Answer::Object).fails(&[503]),
        ("GET", "/metrics") => Described::new(
            "metrics",
            "Returns the figures for Prometheus.",
            200,
            Answer::Text(crate::metrics::MEDIA_TYPE),
        ),
        ("GET", super::PATH) => Described::new("openapi", "Returns this description.", 200, Answer::Object),
        ("POST", "/api/v1/inspect") => {
            Described::json::<Inspection>("inspect", "Says what a disk image or a package on this machine is.", 200)
                .takes::<InspectRequest>()
                .fails(&[404, 409, 422, 503])
        }
        ("GET", "/api/v1/info") => Described::json::<Info>("info", "Says who answers, and for which source.", 200),
        _ => return None,
    })
}

fn of_vms(route: (&str, &str)) -> Option<Described> {
    let operation = |name, summary| Described::json::<VmDetail>(name, summary, 200).takes::<VmRequest>().fails(SOURCE);
    Some(match route {
        ("GET", "/api/v1/vms") => Described::json::<VmList>("list_vms", "Lists the VMs of the source.", 200)
            .input(
                ParameterIn::Query,
                "capacities",
                Type::Boolean,
                "Also how large their disks are, which takes longer.",
            )
            .fails(SOURCE),
        ("POST", "/api/v1/vms/info") => operation("vm_info", "Returns one VM."),
        ("POST", "/api/v1/vms/shutdown") => {
            operation("vm_shutdown", "Asks the guest of a VM to shut down, and answers when the VM is off.")
        }
        ("POST", "/api/v1/vms/poweroff") => operation("vm_power_off", "Takes the power from a VM."),
        ("POST", "/api/v1/vms/remove-cdrom") => operation("vm_remove_cdrom", "Removes the CD/DVD drives of a VM."),
        _ => return None,
    })
}

fn of_jobs(route: (&str, &str)) -> Option<Described> {
    Some(match route {
        ("GET", "/api/v1/jobs") => Described::json::<JobList>("list_jobs", "Lists the jobs, newest first.", 200)
            .input(ParameterIn::Query, "state", Type::String, "Only jobs in these states, separated by commas.")
            .input(ParameterIn::Query, "vm", Type::String, "Only jobs whose VM, or path, holds this text.")
            .input(ParameterIn::Query, "limit", Type::Integer, "How many at most, up to 1000; 100 unless given.")
            .input(ParameterIn::Query, "cursor", Type::String, "What the page before gave as `next`.")
            .fails(STORE),
        ("POST", "/api/v1/jobs") => {
            let mut submit = Described::json::<Job>("submit", "Accepts a job.", 201).takes::<JobRequest>();
            submit.repeated = Some(200);
            submit.keyed().fails(SUBMIT)
        }
        ("POST", "/api/v1/jobs/batch") => {
            Described::json::<BatchReply>("submit_batch", "Accepts many jobs, each with an answer of its own.", 200)
                .takes::<BatchBody>()
                .keyed()
                .fails(SUBMIT)
        }
        ("GET", "/api/v1/jobs/{id}") => Described::json::<Job>("job", "Returns a job as it is now.", 200).fails(JOB),
        ("PATCH", "/api/v1/jobs/{id}") => {
            Described::json::<Job>("change_job", "Gives a job another priority.", 200).takes::<JobChanges>().fails(JOB)
        }
        ("DELETE", "/api/v1/jobs/{id}") => {
            Described::new("delete_job", "Forgets a job that has ended.", 204, Answer::Nothing).fails(JOB)
        }
        ("GET", "/api/v1/jobs/{id}/logs") => {
            Described::json::<LogList>("job_logs", "Returns what a job has said, oldest first.", 200)
                .input(ParameterIn::Query, "tail", Type::Integer, "Only the last so many lines.")
                .fails(JOB)
        }
        ("GET", "/api/v1/jobs/{id}/events") => Described::new(
            "job_events",
            "Sends a job whenever it changes, until it has ended: each event is a `Job`.",
            200,
            Answer::Text(hyper_api::sse::MEDIA_TYPE),
        )
        .input(ParameterIn::Header, "Last-Event-ID", Type::String, "The revision that the reader has seen.")
        .fails(JOB),
        ("GET", "/api/v1/events") => Described::new(
            "events",
            "Sends every job whenever it changes, without an end: each event is a `Job`.",
            200,
            Answer::Text(hyper_api::sse::MEDIA_TYPE),
        )
        .input(ParameterIn::Header, "Last-Event-ID", Type::String, "The id of the last event that was seen.")
        .fails(STORE),
        ("POST", "/api/v1/jobs/{id}/cancel") => {
            Described::json::<Job>("cancel", "Asks for a stop of a job; it ends later.", 202).fails(JOB)
        }
        ("POST", "/api/v1/jobs/{id}/resume") => {
            Described::json::<Job>("resume", "Lets a failed or cancelled job go on where it was.", 202).fails(JOB)
        }
        ("POST", "/api/v1/jobs/{id}/retry") => {
            Described::json::<Job>("retry", "Submits a job that has ended once more, as a new one.", 201).fails(SUBMIT)
        }
        _ => return None,
    })
}

fn of_tokens(route: (&str, &str)) -> Option<Described> {
    Some(match route {
        ("GET", "/api/v1/tokens") => {
            Described::json::<TokenList>("list_tokens", "Lists the tokens, without their secrets.", 200).fails(TOKENS)
        }
        ("POST", "/api/v1/tokens") => {
            Described::json::<NewToken>("make_token", "Makes a token and shows its secret, this once.", 201)
                .takes::<TokenSpec>()
                .fails(TOKENS)
        }
        ("DELETE", "/api/v1/tokens/{id}") => {
            Described::new("revoke_token", "Revokes a token.", 204, Answer::Nothing).fails(TOKENS)
        }
        _ => return None,
    })
}

/// Says what a status stands for.
pub(super) const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request makes no sense.",
        401 => "The daemon does not know who asks.",
        403 => "The caller may not, or the request comes from a foreign page.",
        404 => "There is no such thing.",
        409 => "Not possible in this state.",
        413 => "The request is too large.",
        422 => "Understood, but the target or the image does not do.",
        429 => "Too many requests.",
        502 => "The source is at fault.",
        503 => "A limit is reached, the daemon is stopping, or it has no source.",
        504 => "A guest or the source took too long.",
        507 => "The job store is not usable.",
        _ => "A bug of the daemon.",
    }
}
