//! The jobs as they change, over a WebSocket: for dashboards.
//!
//! ```text
//!  connect ─► status ─► jobs ─► each second: job_update of every job that has changed, then metrics
//! ```
//!
//! What a listener sends is not looked at. One that does not read is dropped: frames are never queued.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use hyper_api::{JobId, ProblemKind};
use serde::Serialize;
use tokio::time::{Instant, interval, timeout};

use super::super::frames::{Frame, JobFrame, Jobs, Metrics, Seen, Status};
use super::super::job::View;
use super::super::question::{Query, Wanted};
use super::super::reply;
use super::super::shared::Listening;
use super::ask::{Ask, now};
use super::desk::{self, Kept};
use crate::http::State;
use crate::problems::refusal;

/// Dashboards at once; each costs a look at the jobs per second.
const LISTENERS_MAX: usize = 100;

/// How often listeners are told.
const TICK: Duration = Duration::from_secs(1);

/// How often they are pinged, so that nobody between takes the connection for dead.
const PING: Duration = Duration::from_secs(30);

/// Longest wait for a listener to take a frame.
const SEND_TIME_MAX: Duration = Duration::from_secs(5);

/// The largest message that is read, and thrown away.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Jobs that are told of; newest first.
const JOBS_MAX: usize = 1000;

pub(super) async fn upgrade(ask: Ask, upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.max_message_size(MESSAGE_BYTES_MAX),
        Err(error) => {
            let why = format!("open a WebSocket: {}", error.body_text());
            return ask.answer::<()>(Err(refusal(ProblemKind::Usage, why)));
        }
    };
    let Some(listening) = ask.state.compat.listener(LISTENERS_MAX) else {
        let why = format!("open a WebSocket: {LISTENERS_MAX} are listening already");
        return ask.answer::<()>(Err(refusal(ProblemKind::Busy, why)));
    };
    let state = ask.state;
    upgrade.on_upgrade(move |socket| listen(socket, state, listening))
}

/// Why a listener is not told any more.
enum Gone {
    /// It left, or does not read.
    Listener,
    /// The jobs cannot be read.
    Jobs,
}

async fn listen(socket: WebSocket, state: State, listening: Listening) {
    let mut listener = Listener { socket, state, shown: HashMap::new() };
    if let Err(Gone::Jobs) = listener.follow().await {
        tracing::warn!("a WebSocket is closed: the jobs cannot be read");
    }
    drop(listening);
}

struct Listener {
    socket: WebSocket,
    state: State,
    /// The revisions that were sent, of the jobs that were there at the last look.
    shown: HashMap<JobId, u64>,
}

impl Listener {
    async fn follow(&mut self) -> Result<(), Gone> {
        let jobs = self.look().await?;
        let view = now();
        let counts = desk::counts(&self.state).await.map_err(|_| Gone::Jobs)?;
        self.send(&view, "status", &Status::from(counts)).await?;
        let frames = jobs.iter().map(|kept| self.frame(&view, kept)).collect();
        self.send(&view, "jobs", &Jobs { jobs: frames }).await?;
        let (mut ticks, mut pinged) = (interval(TICK), Instant::now());
        // The first tick of an interval comes at once.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tell().await?,
                message = self.socket.recv() => match message {
                    // The next read after a goodbye sends the answer to it, and is the last.
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Ok(()),
                },
            }
            if pinged.elapsed() >= PING {
                pinged = Instant::now();
                self.put(Message::Ping(axum::body::Bytes::new())).await?;
            }
        }
    }

    async fn tell(&mut self) -> Result<(), Gone> {
        let before = std::mem::take(&mut self.shown);
        let jobs = self.look().await?;
        let view = now();
        for kept in &jobs {
            if before.get(&kept.picture.id) != Some(&kept.picture.revision) {
                let frame = self.frame(&view, kept);
                self.send(&view, "job_update", &frame).await?;
            }
        }
        let counts = desk::counts(&self.state).await.map_err(|_| Gone::Jobs)?;
        let recent = jobs.iter().map(|kept| self.job(&view, kept)).zip(&jobs);
        let recent: Vec<_> = recent.take(super::super::frames::RECENT_MAX).collect();
        let seen = Seen { uptime: self.state.compat.uptime(), listeners: self.state.compat.listeners(), counts };
        let metrics = Metrics::new(&view, &seen, recent.iter().map(|(job, kept)| (job, view.elapsed(&kept.picture))));
        self.send(&view, "metrics", &metrics).await
    }

    /// Returns the newest jobs, and notes which revisions of them are known from now on.
    async fn look(&mut self) -> Result<Vec<Kept>, Gone> {
        let query = Query { wanted: Wanted::All, limit: Some(JOBS_MAX) };
        let jobs = desk::query(&self.state, query).await.map_err(|_| Gone::Jobs)?;
        self.shown = jobs.iter().map(|kept| (kept.picture.id.clone(), kept.picture.revision)).collect();
        Ok(jobs)
    }

    fn job(&self, view: &View, kept: &Kept) -> super::super::job::Job {
        let shared = &self.state.compat;
        shared.with_peak(&kept.picture, |peak| view.job(&kept.picture, kept.definition.clone(), peak))
    }

    fn frame(&self, view: &View, kept: &Kept) -> JobFrame {
        self.job(view, kept).into()
    }

    async fn send<T: Serialize>(&mut self, view: &View, kind: &'static str, data: &T) -> Result<(), Gone> {
        let frame = Frame { kind, timestamp: view.timestamp(), data };
        let text = reply::text(&frame).map_err(|_| Gone::Jobs)?;
        self.put(Message::Text(text.into())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(SEND_TIME_MAX, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone::Listener),
        }
    }
}
