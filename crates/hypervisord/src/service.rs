//! What the daemon tells systemd. Where systemd does not listen, nothing happens.

use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;

/// Says that the daemon takes requests, and what it is doing.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the daemon reads its configuration again; [`ready`] ends that.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(reason) => tracing::debug!(%reason, "systemd was not told of a reload"),
    }
}

/// Says that the daemon is giving VMs back.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("giving VMs back")]);
}

/// Says again and again that the daemon lives, twice as often as systemd would end it for silence; returns at once
/// where it would not.
pub(crate) async fn keep_alive() {
    let period = sd_notify::watchdog_enabled().map(|period| period / 2).filter(|period| !period.is_zero());
    let Some(period) = period else { return };
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(reason) = sd_notify::notify(state) {
        tracing::warn!(%reason, "systemd could not be told");
    }
}
