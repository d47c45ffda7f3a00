//! Deeds: what rules do to objects and listeners instead of replies.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::rule::Action;
use crate::faults::rule::book::Strike;
use crate::soap::About;
use crate::world::World;

/// Does the deed of a rule that strikes at a request about `about`, at `listener`; what comes to nothing is
/// not counted as a strike.
pub(super) fn run(world: &Arc<World>, strike: &Strike, about: &About, listener: &str) {
    if !is_done(world, strike.action(), about, listener) {
        world.faults.take_back(strike);
    }
}

/// Does a deed; returns whether anything is different now.
fn is_done(world: &Arc<World>, action: &Action, about: &About, listener: &str) -> bool {
    match action {
        Action::CloseListener(close) => {
            let Some(line) = world.lines.named(close.listener.as_deref().unwrap_or(listener)) else { return false };
            line.close(Duration::from_millis(close.ms));
            true
        }
        Action::KillSession(_) => world.soap.kill_sessions(world, about),
        Action::PasswordChanged(changed) => world.soap.change_password(*changed),
        Action::MoveVm(moved) => world.soap.relocate_by_rule(world, about, moved),
        Action::Power(power) => world.soap.set_power(about, power),
        Action::Lease(fate) => world.soap.end_leases(world, about, fate.becomes, fate.fault.as_ref()),
        // All others are no deeds and are done where their stage is.
        _ => true,
    }
}
