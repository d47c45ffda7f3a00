//! An engine, or what works on files here, with the rights of a caller.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper_api::InspectRequest;
use migrate::export::{Observer, Report, Request};
use migrate::inventory::{Found, Vm};
use migrate::rights::Rights;
use migrate::vm::{Operation, Outcome};
use migrate::{conversion, inspect, verify};
use tokio_util::sync::CancellationToken;

use super::{Engine, Images};

/// Does what `inner` does, and touches files with these rights only.
pub(super) struct Entitled<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) rights: Rights,
}

impl Engine for Entitled<dyn Engine> {
    fn list(&self, capacities: bool, cancel: CancellationToken) -> BoxFuture<'_, migrate::Result<Vec<Vm>>> {
        self.inner.list(capacities, cancel)
    }

    fn find(
        &self,
        wanted: Vec<String>,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, migrate::Result<Vec<migrate::Result<Found>>>> {
        self.inner.find(wanted, cancel)
    }

    fn export<'a>(
        &'a self,
        request: &'a Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Report>> {
        self.rights.clone().scope(self.inner.export(request, observer, cancel)).boxed()
    }

    fn operate<'a>(
        &'a self,
        vm: &'a str,
        operation: Operation,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<Outcome>> {
        self.inner.operate(vm, operation, cancel)
    }
}

impl Images for Entitled<dyn Images> {
    fn convert(
        &self,
        request: conversion::Request,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<conversion::Report>> {
        self.rights.clone().scope(self.inner.convert(request, observer, cancel)).boxed()
    }

    fn inspect<'a>(
        &'a self,
        request: &'a InspectRequest,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, migrate::Result<inspect::Report>> {
        self.rights.clone().scope(self.inner.inspect(request, cancel)).boxed()
    }

    fn verify(
        &self,
        path: PathBuf,
        observer: Arc<dyn Observer>,
        cancel: CancellationToken,
    ) -> BoxFuture<'static, migrate::Result<verify::Report>> {
        self.rights.clone().scope(self.inner.verify(path, observer, cancel)).boxed()
    }
}
