//! One route: method, path, what it takes to call it, and who answers.
//!
//! Each area of the API lists its routes as values, and the router and the guard are both made of
//! the same list: a route without a word about who may call it cannot be written.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper_api::Role;

use super::State;

/// The largest request to a route for older clients: a file of many jobs (contract B.1).
pub(crate) const COMPAT_BODY_BYTES_MAX: usize = 10 << 20;

/// What it takes to call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anybody who can connect.
    Nothing,
    /// A caller with this role, or one that may more.
    Role(Role),
}

/// One route.
#[derive(Debug)]
pub struct Route {
    method: Method,
    path: &'static str,
    need: Need,
    compat: bool,
    handler: MethodRouter<State>,
}

impl Route {
    /// Makes a route that reads.
    pub fn get<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self { method: Method::GET, path, need, compat: false, handler: on(MethodFilter::GET, handler) }
    }

    /// Makes a route that acts.
    pub fn post<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self { method: Method::POST, path, need, compat: false, handler: on(MethodFilter::POST, handler) }
    }

    /// Makes a route that changes a part of something.
    pub fn patch<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self { method: Method::PATCH, path, need, compat: false, handler: on(MethodFilter::PATCH, handler) }
    }

    /// Makes a route that takes something away.
    pub fn delete<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self { method: Method::DELETE, path, need, compat: false, handler: on(MethodFilter::DELETE, handler) }
    }

    /// Makes it one of the routes for older clients: what they send may be larger, and the configuration may open
    /// it to callers on this machine that can send no token.
    #[must_use]
    pub fn compat(self) -> Self {
        Self { compat: true, handler: self.handler.layer(DefaultBodyLimit::max(COMPAT_BODY_BYTES_MAX)), ..self }
    }

    /// Returns true for a route for older clients.
    pub const fn is_compat(&self) -> bool {
        self.compat
    }

    /// Returns the method; one that reads stands for HEAD as well.
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the path, with its variables in braces.
    pub const fn path(&self) -> &'static str {
        self.path
    }

    /// Returns what it takes.
    pub const fn need(&self) -> Need {
        self.need
    }

    /// Adds the route to a router.
    pub(super) fn add_to(self, router: Router<State>) -> Router<State> {
        router.route(self.path, self.handler)
    }
}
