//! The routes that callers of the older pair know, mapped onto the same jobs and the same source.
//!
//! ```text
//!  routes   the handlers, over the jobs and the source
//!  body ─► document ─► definition ─► submission ──► jobs       what is asked
//!  jobs ─► job, replies ─► reply                               what is answered
//!          time, duration, refusal                             how times, durations and errors look there
//! ```
//!
//! Older programs are careful about nothing and break on everything: one ill-typed field makes a whole
//! reply unreadable to them, and most of them take an error for an empty success. So the rules here are
//! about exact types, and what a caller sent is brought into type when it is accepted, never later.
//!
//! Everything but the handlers is a plain function of values: no clock, no store, no network.
//! What this module does not do: it owns no state of a job, and nothing of `/api/v1` passes through it.

pub mod definition;
pub mod document;
pub mod duration;
pub mod find;
pub mod frames;
pub mod id;
pub mod job;
pub mod question;
pub mod refusal;
pub mod replies;
pub mod reply;
pub mod routes;
pub mod shared;
pub mod source;
pub mod submission;
pub mod text;
pub mod time;
