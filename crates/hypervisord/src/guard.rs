//! Who gets in, and to what.
//!
//! ```text
//!  request ─► shape (no secret in the URL) ─► Host, Origin ─► who is it? ─► may they? ─► not too often?
//!          ─► the whole body, not too large, in time ─► handler, with the Caller ─► an audit line
//! ```
//!
//! It stands before every route of the daemon mode, the routes that do not exist included: a stranger
//! does not even learn which do. What a route takes stands with the route ([`Need`]).
//!
//! What it does not do: it does not decide as whom a job runs, nor where it may write.

mod audit;
mod body;
mod callers;
mod hosts;
mod rates;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use hyper_api::{Problem, ProblemKind};

use crate::caller::Caller;
use crate::compat;
use crate::config::{Access, Config};
use crate::http::BODY_BYTES_MAX;
use crate::http::{Need, Refusal, Route};
use crate::listen::Way;
use crate::metrics::Metrics;
use crate::problems::refusal;
use crate::tokens::Tokens;
use hosts::Hosts;
pub(crate) use rates::Rates;

/// The rules of a daemon.
#[derive(Debug)]
pub(crate) struct Guard {
    table: Vec<Entry>,
    hosts: Hosts,
    tokens: Tokens,
    rates: Arc<Rates>,
    metrics: Metrics,
    loopback: Access,
    own_uid: u32,
}

/// What it takes to call a route.
#[derive(Debug)]
struct Entry {
    method: Method,
    path: &'static str,
    need: Need,
    compat: bool,
    body_bytes_max: usize,
}

impl Guard {
    /// Makes the rules for `routes` by the configuration. `listening` are the hosts of the daemon's own addresses.
    pub(crate) fn new(
        routes: &[Route],
        config: &Config,
        listening: impl IntoIterator<Item = String>,
        tokens: Tokens,
        rates: Arc<Rates>,
        metrics: Metrics,
    ) -> Self {
        let entry = |route: &Route| Entry {
            method: route.method().clone(),
            path: route.path(),
            need: match route.path() {
                crate::http::METRICS_PATH if config.auth.metrics == Access::Open => Need::Nothing,
                _ => route.need(),
            },
            compat: route.is_compat(),
            body_bytes_max: route.body_bytes_max(),
        };
        Self {
            table: routes.iter().map(entry).collect(),
            hosts: Hosts::new(config.listen.hosts.iter().cloned().chain(listening)),
            tokens,
            rates,
            metrics,
            loopback: config.auth.loopback,
            own_uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// Puts the guard before all routes.
    pub(crate) fn before(self, router: Router) -> Router {
        router.layer(from_fn_with_state(Arc::new(self), check))
    }

    fn entry(&self, request: &Request) -> Option<&Entry> {
        let path = request.extensions().get::<MatchedPath>()?;
        // HEAD asks for what GET would say, without saying it.
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.table.iter().find(|entry| entry.path == path.as_str() && entry.method == *method)
    }

    /// Returns who asks, when they may; `None` for a route that takes nobody in particular.
    fn admit(&self, request: &Request) -> Result<Option<Caller>, Box<Problem>> {
        let way = request.extensions().get::<Way>();
        let way = way.ok_or_else(|| refusal(ProblemKind::Internal, "learn how a request came in"))?;
        body::refuse_secrets_in(request.uri())?;
        self.hosts.check(request.headers(), request.uri(), way)?;
        let entry = self.entry(request);
        if entry.is_some_and(|entry| entry.need == Need::Nothing) {
            return Ok(None);
        }
        // Older clients ask for paths that there never were here, too.
        let compat = entry.map_or_else(|| compat::refusal::owns(request.uri().path()), |entry| entry.compat);
        let caller = self.recognise(way, request.headers(), compat)?;
        self.rates.right(&caller.who)?;
        match entry.map(|entry| entry.need) {
            Some(Need::Role(role)) if caller.role < role => Err(refusal(
                ProblemKind::Forbidden,
                format!(
                    "{} {}: it takes the role {role}, and {} has {}",
                    request.method(),
                    request.uri().path(),
                    caller.who,
                    caller.role
                ),
            )),
            // No such route: whoever is known may learn that.
            _ => Ok(Some(caller)),
        }
    }
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let entry = guard.entry(&request);
    let (method, route) = entry.map_or(("", ""), |entry| (entry.method.as_str(), entry.path));
    let response = pass(&guard, entry.map_or(BODY_BYTES_MAX, |entry| entry.body_bytes_max), request, next).await;
    guard.metrics.request(method, route, response.status().as_u16());
    response
}

async fn pass(guard: &Guard, body_bytes_max: usize, mut request: Request, next: Next) -> Response {
    let line = audit::Line::of(&request);
    let asked = (request.method().clone(), request.uri().path().to_owned());
    let caller = match guard.admit(&request) {
        Ok(caller) => caller,
        Err(problem) => {
            // Only who is wrong is held up, so that nobody can lock others out of this address.
            let problem = guard.rates.wrong(request.extensions().get()).unwrap_or(problem);
            line.refused(&problem);
            return refused(problem, &asked);
        }
    };
    if let Some(caller) = &caller {
        request.extensions_mut().insert(caller.clone());
    }
    let request = match body::whole(request, body_bytes_max).await {
        Ok(request) => request,
        Err(problem) => {
            line.refused(&problem);
            return refused(problem, &asked);
        }
    };
    let response = next.run(request).await;
    line.answered(caller.as_ref(), response.status());
    response
}

/// Answers in the form that whoever `asked` for this method and path can read.
fn refused(problem: Box<Problem>, (method, path): &(Method, String)) -> Response {
    let kind = problem.kind;
    let mut response = match compat::refusal::owns(path) {
        true => compat::routes::refused(&problem, method, path),
        false => Refusal::from(problem).into_response(),
    };
    if kind == ProblemKind::Unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
