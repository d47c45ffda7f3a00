//! Deeds: what rules do to objects and listeners instead of replies.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::rule::Action;
use crate::soap::About;
use crate::world::World;

/// Does a deed that a request about `about`, at `listener`, has brought about.
pub(super) fn run(world: &Arc<World>, action: &Action, about: &About, listener: &str) {
    match action {
        Action::CloseListener(close) => {
            let name = close.listener.as_deref().unwrap_or(listener);
            if let Some(line) = world.lines.named(name) {
                line.close(Duration::from_millis(close.ms));
            }
        }
        Action::KillSession(_) => world.soap.kill_sessions(world, about),
        Action::PasswordChanged(changed) => world.soap.change_password(*changed),
        Action::MoveVm(moved) => world.soap.move_vm(world, about, moved),
        Action::Power(power) => world.soap.set_power(about, power),
        Action::Lease(fate) => world.soap.end_leases(world, about, fate.becomes, fate.fault.as_ref()),
        // All others are no deeds and are done where their stage is.
        _ => {}
    }
}
