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

use super::{BODY_BYTES_MAX, State};

/// The largest request to a route for older clients: a file of many jobs (contract B.1).
const COMPAT_BODY_BYTES_MAX: usize = 10 << 20;

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
    body_bytes_max: usize,
    handler: MethodRouter<State>,
}

impl Route {
    const fn new(method: Method, path: &'static str, need: Need, handler: MethodRouter<State>) -> Self {
        Self { method, path, need, compat: false, body_bytes_max: BODY_BYTES_MAX, handler }
    }

    /// Makes a route that reads.
    pub fn get<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self::new(Method::GET, path, need, on(MethodFilter::GET, handler))
    }

    /// Makes a route that acts.
    pub fn post<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self::new(Method::POST, path, need, on(MethodFilter::POST, handler))
    }

    /// Makes a route that changes a part of something.
    pub fn patch<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self::new(Method::PATCH, path, need, on(MethodFilter::PATCH, handler))
    }

    /// Makes a route that takes something away.
    pub fn delete<H: Handler<T, State>, T: 'static>(path: &'static str, need: Need, handler: H) -> Self {
        Self::new(Method::DELETE, path, need, on(MethodFilter::DELETE, handler))
    }

    /// Makes it one of the routes for older clients: what they send may be larger, and the configuration may open
    /// it to callers on this machine that can send no token.
    #[must_use]
    pub fn compat(self) -> Self {
        Self { compat: true, ..self }.takes_bytes(COMPAT_BODY_BYTES_MAX)
    }

    /// Lets requests have bodies up to this length.
    #[must_use]
    pub fn takes_bytes(self, most: usize) -> Self {
        Self { body_bytes_max: most, handler: self.handler.layer(DefaultBodyLimit::max(most)), ..self }
    }

    /// Returns how large a request may be.
    pub const fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
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
