//! The SOAP side of the simulator: `/sdk` and what stands behind it.
//!
//! ```text
//!  post ─► session ─► dispatch ─┬─► content, search, view      what exists
//!                               ├─► retrieve, filter           properties, once or on change
//!                               ├─► export (lease), task       what takes time
//!                               ├─► power, snapshot, reconfig, relocate  what changes a VM, by tasks
//!                               └─► fault                      refusals
//!  model: the objects, fixed · state: all that changes, one lock · property: what objects say
//! ```
//!
//! A strict reader: order, unknown elements, missing types and paths are refused, as the API says,
//! unless the simulator was told to be lenient.

mod browser;
mod call;
mod chain;
mod clock;
mod configured;
mod content;
mod descriptor;
mod dispatch;
mod export;
mod fault;
mod filter;
mod journal;
mod kinds;
mod lease;
mod list_view;
mod meddle;
mod model;
mod option;
mod partial;
mod path;
mod power;
mod privilege;
mod property;
mod reconfig;
mod relocate;
mod report;
mod retrieve;
mod search;
mod service;
mod session;
mod snapshot;
mod state;
mod task;
mod ticket;
mod version;
mod view;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use vsphere::wire::generated::{Login, UserSession};
use vsphere::wire::{Element, Limits, Method as _, MoRef, fault_xml, parse_request, response_xml};

use crate::content::Delta;
use crate::datastore::VmNow;
use crate::datastore::home::{Home, homes};
use crate::faults::Options;
use crate::inventory::Inventory;
use crate::world::World;
use call::{Call, Caller};
use clock::Instant;
use fault::Outcome;
pub(crate) use fault::localized;
use journal::{End, Journal};
pub(crate) use meddle::About;
use model::Model;
use session::Visitor;
use state::State;
use version::Versions;

/// Longest request: a filter over 10,000 named objects has about 3 MiB.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Time is looked at this often when nothing is due earlier.
const TICK_MAX: Duration = Duration::from_millis(500);

/// One POST to `/sdk`, reduced to what the API looks at.
#[derive(Clone, Copy, Debug)]
pub struct SdkRequest<'a> {
    /// Header `Cookie`.
    pub cookie: Option<&'a str>,
    /// Header `SOAPAction`, with or without quotes.
    pub soap_action: Option<&'a str>,
    /// Header `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// The SOAP envelope.
    pub body: &'a [u8],
    /// Who asks.
    pub remote_addr: SocketAddr,
}

/// The answer to one POST.
#[derive(Clone, Debug)]
pub struct SdkReply {
    /// HTTP status: 200 with a result, 500 with a fault.
    pub status: u16,
    /// Header `Set-Cookie`, when the session changes.
    pub set_cookie: Option<String>,
    /// Header `Content-Type`.
    pub content_type: &'static str,
    /// The SOAP envelope.
    pub body: String,
    /// True when the connection must be closed after the answer.
    pub close_connection: bool,
}

/// All that lives behind `/sdk`: sessions, objects, leases.
#[derive(Debug)]
pub struct Soap {
    model: Model,
    versions: Versions,
    strict: bool,
    /// Paths of the inventory's VMs, for the report.
    paths: Vec<String>,
    state: Mutex<State>,
    journal: Mutex<Journal>,
    started: Instant,
    /// Counts changes; waiters look again when it moves.
    changes: watch::Sender<u64>,
    ticking: AtomicBool,
}

impl Soap {
    /// Builds the objects of an inventory.
    pub fn new(inventory: &Inventory, options: &Options) -> Self {
        let model = Model::build(inventory);
        let homes = homes(inventory, &model.directories());
        Self {
            model,
            versions: Versions::new(&inventory.vcenter.api_version),
            strict: !options.lenient,
            paths: inventory.vms.iter().map(|vm| vm.path.clone()).collect(),
            state: Mutex::new(State::new(inventory, homes, Instant::now())),
            journal: Mutex::default(),
            started: Instant::now(),
            changes: watch::Sender::new(0),
            ticking: AtomicBool::new(false),
        }
    }

    /// Answers one call.
    pub async fn post(&self, world: &Arc<World>, request: SdkRequest<'_>) -> SdkReply {
        self.start_ticking(world);
        self.tick(world);
        let version = self.versions.requested(request.soap_action);
        let caller = self.described(request.cookie);
        let caller = caller.map(|session| Caller { session: session.key, user: session.user_name });
        let call = Call { world, soap: self, request, now: Instant::now(), version, caller };
        let _under_way = call.caller.as_ref().map(|caller| UnderWay::begin(self, &caller.session, call.now));
        let (outcome, set_cookie) = match parse(request.body) {
            Ok(element) => {
                let number = self.begin(&element, call.caller.as_ref().map(|caller| caller.session.as_str()));
                if element.name == Login::NAME && self.is_full(&call) {
                    self.end(number, &element.name, (None, Some("503".to_owned()), 0));
                    return out_of_sessions(world.inventory.vcenter.sessions_max);
                }
                let (outcome, set_cookie) = self.answer(&call, &element).await;
                let session = self.described(set_cookie.as_deref()).map(|session| session.key);
                let fault = outcome.as_ref().err().map(|fault| fault.type_name().to_owned());
                self.end(number, &element.name, (session, fault, outcome.as_ref().map_or(0, String::len)));
                (outcome, set_cookie)
            }
            Err(fault) => (Err(fault), None),
        };
        let (status, body) = match outcome {
            Ok(body) => (200, body),
            Err(fault) => (500, fault_xml(&fault, version)),
        };
        SdkReply { status, set_cookie, content_type: "text/xml; charset=utf-8", body, close_connection: false }
    }

    /// Returns the document `/sdk/vimServiceVersions.xml`.
    pub fn versions_xml(&self) -> String {
        self.versions.xml()
    }

    /// Returns what the control endpoint tells about sessions, leases, views and calls.
    pub fn report(&self) -> serde_json::Value {
        report::report(self, &self.lock(), &self.paths)
    }

    /// Returns the calls that began after the one with this number, in their order; see [`journal`].
    pub fn calls(&self, after: u64) -> serde_json::Value {
        self.lock_journal().after(after)
    }

    /// Returns what the guest of a VM has written above its disks: up to now, or up to the first snapshot of
    /// this name. `None` when there is no such VM or snapshot.
    pub fn deltas(&self, vm_path: &str, snapshot: Option<&str>) -> Option<Vec<Delta>> {
        let vm = self.paths.iter().position(|path| path == vm_path)?;
        let state = self.lock();
        let vm = state.vms.get(vm)?;
        let end = match snapshot {
            None => vm.deltas.len(),
            Some(name) => vm.snapshots.iter().find(|snapshot| snapshot.wish.name == name)?.frozen,
        };
        vm.deltas.get(..end).map(<[Delta]>::to_vec)
    }

    /// Returns where each VM has its files, in the order of the inventory.
    pub(crate) fn homes(&self) -> Vec<Home> {
        self.lock().vms.iter().map(|vm| vm.home.clone()).collect()
    }

    /// Returns how a VM of the inventory is at this moment.
    pub(crate) fn vm_now(&self, vm: usize) -> VmNow {
        self.lock().vms.get(vm).map(state::VmState::now).unwrap_or_default()
    }

    /// Returns the object at an inventory path.
    pub fn find(&self, path: &str) -> Option<MoRef> {
        self.model.find_path(path).map(|id| self.model.moref(id))
    }

    /// Returns true when the cookie belongs to a live session.
    pub fn session_valid(&self, cookie: Option<&str>) -> bool {
        self.lock().sessions.find(cookie).is_some()
    }

    async fn answer(&self, call: &Call<'_>, element: &Element) -> (Outcome<String>, Option<String>) {
        if element.name == Login::NAME {
            return match self.login(call, element) {
                Ok((body, cookie)) => (Ok(body), Some(cookie)),
                Err(fault) => (Err(fault), None),
            };
        }
        let outcome = dispatch::dispatch(call, element).await;
        let ended = element.name == "Logout" && outcome.is_ok();
        (outcome, ended.then(session::clear_cookie))
    }

    fn login(&self, call: &Call<'_>, element: &Element) -> Outcome<(String, String)> {
        dispatch::receiver(element)?;
        let login: Login = dispatch::read(call, element)?;
        let account = &call.world.inventory.vcenter;
        let mut state = self.lock();
        let right = login.user_name == account.username && login.password.0 == account.password;
        if !right || state.password_changed || call.caller.is_some() {
            state.sessions.refused += 1;
            return Err(fault::invalid_login());
        }
        let user_agent = call.request.user_agent.unwrap_or_default();
        let visitor = Visitor { user: &login.user_name, remote: call.request.remote_addr, user_agent };
        let secret = state.sessions.open(visitor, call.now);
        let cookie = session::set_cookie(&secret);
        let described = state.sessions.find(Some(&cookie)).map(session::Session::describe);
        let body = response_xml(Login::NAME, &described.unwrap_or_default(), call.version);
        Ok((body, cookie))
    }

    /// Returns whether there is no room for one more session.
    fn is_full(&self, call: &Call<'_>) -> bool {
        call.caller.is_none() && self.lock().sessions.all().count() >= call.world.inventory.vcenter.sessions_max
    }

    /// Returns the session that a cookie names, as the API describes it.
    fn described(&self, cookie: Option<&str>) -> Option<UserSession> {
        self.lock().sessions.find(cookie).map(session::Session::describe)
    }

    /// Notes that a call begins, and returns its number.
    fn begin(&self, call: &Element, session: Option<&str>) -> u64 {
        let object = dispatch::receiver(call).unwrap_or_default().id;
        self.lock_journal().begin(&call.name, &object, session, self.started.elapsed())
    }

    /// Notes how a call has ended: the session that it has opened, its fault, the length of its reply.
    fn end(&self, number: u64, method: &str, (session, fault, bytes): (Option<String>, Option<String>, usize)) {
        self.count(method, fault.is_some());
        self.lock_journal().end(number, session, End { at: self.started.elapsed(), fault, bytes });
    }

    fn lock_journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, method: &str, refused: bool) {
        let mut state = self.lock();
        let stats = state.calls.entry(method.to_owned()).or_default();
        stats.calls += 1;
        stats.faults += u64::from(refused);
    }

    /// A panic elsewhere cannot leave the state half-changed in a way that matters more than the panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes everybody who waits for changes.
    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Lets time pass: sessions and leases die, tasks go on.
    fn tick(&self, world: &World) {
        let idle = Duration::from_secs(world.faults.now().session_idle_s);
        let mut state = self.lock();
        let ticked = state.tick(Instant::now(), idle);
        world.datastores.follow(&ticked.moved);
        drop(state);
        ticked.closed.iter().for_each(|lease| world.exports.close(lease));
        if ticked.changed {
            self.tell();
        }
    }

    /// Starts the timer with the first call; it ends with the world.
    fn start_ticking(&self, world: &Arc<World>) {
        if !self.ticking.swap(true, Ordering::Relaxed) {
            tokio::spawn(keep_ticking(Arc::downgrade(world)));
        }
    }
}

/// What the HTTP front of a server says that has too many sessions: a page, not SOAP.
fn out_of_sessions(limit: usize) -> SdkReply {
    SdkReply {
        status: 503,
        set_cookie: None,
        content_type: "text/html; charset=utf-8",
        body: format!(
            "<html><head><title>503 Service Unavailable</title></head><body><h1>503 Service Unavailable</h1>\
             <p>Out of HTTP sessions: Limited to {limit}</p></body></html>\n"
        ),
        close_connection: true,
    }
}

/// A call that keeps its session from being idle. It ends in `drop`, because a caller that hangs up
/// in the middle of a wait drops the whole call, and its session must be able to die.
#[derive(Debug)]
struct UnderWay<'a> {
    soap: &'a Soap,
    session: String,
}

impl<'a> UnderWay<'a> {
    fn begin(soap: &'a Soap, session: &str, now: Instant) -> Self {
        soap.lock().sessions.enter(session, now);
        Self { soap, session: session.to_owned() }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.soap.lock().sessions.leave(&self.session, Instant::now());
    }
}

async fn keep_ticking(world: Weak<World>) {
    let Some(mut news) = world.upgrade().map(|world| world.soap.news()) else { return };
    loop {
        let next = {
            let Some(world) = world.upgrade() else { return };
            // What is new from here on may be due before the timer.
            news.mark_unchanged();
            world.soap.tick(&world);
            let idle = Duration::from_secs(world.faults.now().session_idle_s);
            let latest = Instant::now() + TICK_MAX;
            world.soap.lock().next_deadline(idle).map_or(latest, |due| due.min(latest))
        };
        // A deadline that has just passed must not make a busy loop of this.
        let timer = tokio::time::sleep_until(next.max(Instant::now() + Duration::from_millis(1)));
        tokio::select! {
            () = timer => {}
            told = news.changed() => if told.is_err() { return },
        }
    }
}

fn parse(body: &[u8]) -> Outcome<Element> {
    let text = std::str::from_utf8(body).map_err(|_| fault::invalid_request("it is not UTF-8"))?;
    let limits = Limits { bytes_max: REQUEST_BYTES_MAX, ..Limits::default() };
    let incoming = parse_request(text, limits).map_err(|error| fault::invalid_request(&error.to_string()))?;
    if let Some(operation) = &incoming.operation_id {
        tracing::debug!(operation, method = %incoming.call.name, "call");
    }
    Ok(incoming.call)
}
