//! Judges of the client: replies recorded from real vCenters, and a server that we did not write.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod recorded;
mod vcsim;
mod vcsim_files;
mod vcsim_power;
mod vcsim_snapshots;
