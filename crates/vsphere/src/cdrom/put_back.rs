//! Putting media back, with the patience that it takes, and never over what somebody else has done since.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::medium::{Loaded, Medium};
use super::{CALL_LIMIT, change, drives, reconfigure};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::wire::MoRef;
use crate::wire::generated::{AnyMethodFault, VirtualCdrom, VirtualDeviceConfigSpecOperation};

/// How often it is tried while something holds the VM, and the pause before the second time; it doubles.
const TRIES: u32 = 6;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What became of media that were taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutBack {
    /// Drives that are not as they were left: their media stay out, because somebody has taken the drive away or
    /// put something else into it. One text each.
    pub left: Vec<String>,
}

/// Why media are still out of their drives.
#[derive(Debug)]
pub struct NotPutBack {
    /// Why.
    pub error: Error,
    /// Those media with their drives, for people.
    pub media: Vec<String>,
}

/// Puts `media` back into their drives. Several attempts are made, for a VM is busy while a lease of it ends.
/// One that is in its drive already stays there, so this is safe to repeat.
///
/// # Errors
/// When some are still out; the drives are as they were left, or full.
pub async fn put_back(
    session: &Session,
    vm: &MoRef,
    media: &[Loaded],
    give_up: &CancellationToken,
) -> std::result::Result<PutBack, NotPutBack> {
    let (mut attempt, mut delay) = (1, RETRY_DELAY);
    loop {
        let error = match attempt_once(session, vm, media, give_up).await {
            Ok(put_back) => return Ok(put_back),
            Err(error) => error,
        };
        if is_hopeless(&error) || attempt >= TRIES || give_up.is_cancelled() {
            let media = media.iter().map(|loaded| format!("{} ({})", loaded.medium, loaded.label));
            return Err(NotPutBack { error, media: media.collect() });
        }
        warn!(attempt, %error, "putting media back again");
        attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            // The last attempt is made at once.
            () = give_up.cancelled() => {}
        }
        delay *= 2;
    }
}

/// Returns true for what does not come by waiting. Nobody lets us in any more, for example, and accounts lock.
fn is_hopeless(error: &Error) -> bool {
    use ErrorKind as Kind;
    let gone = |fault: &AnyMethodFault| matches!(fault, AnyMethodFault::FileNotFound(_));
    matches!(error.kind(), Kind::Login | Kind::Permission | Kind::NotFound | Kind::Unsupported | Kind::Late)
        || error.fault().and_then(|fault| fault.detail.as_ref()).is_some_and(gone)
}

async fn attempt_once(session: &Session, vm: &MoRef, media: &[Loaded], give_up: &CancellationToken) -> Result<PutBack> {
    const DOING: &str = "put the media back into the CD/DVD drives";
    let late = |_| Err(Error::new(ErrorKind::Unreachable, format!("no answer within {} s", CALL_LIMIT.as_secs())));
    let now = timeout(CALL_LIMIT, drives(session, vm)).await.unwrap_or_else(late);
    let now = now.map_err(|error| error.context(DOING))?;
    let mut changes = Vec::new();
    let mut put_back = PutBack::default();
    for loaded in media {
        match judge(loaded, &now) {
            Found::Empty => changes.push(change(VirtualDeviceConfigSpecOperation::Edit, loaded.filled())),
            Found::There => {}
            Found::Changed(reason) => put_back.left.push(reason),
        }
    }
    if !changes.is_empty() {
        reconfigure(session, vm, changes, DOING, give_up).await?;
    }
    Ok(put_back)
}

/// How a drive is found whose medium was taken out.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// As it was left.
    Empty,
    /// With its medium.
    There,
    /// Somebody has changed it since.
    Changed(String),
}

fn judge(loaded: &Loaded, now: &[VirtualCdrom]) -> Found {
    let Loaded { label, medium, .. } = loaded;
    let Some(drive) = now.iter().find(|drive| drive.key == loaded.drive) else {
        return Found::Changed(format!("{label}, in which {medium} was, is not there any more"));
    };
    match Medium::of(drive) {
        None => Found::Empty,
        Some(other) if other == *medium => Found::There,
        Some(other) => Found::Changed(format!("{label}, in which {medium} was, has {other} now")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generated::VirtualDevice;

    #[test]
    fn only_a_drive_that_is_as_it_was_left_is_filled() {
        let loaded = Loaded {
            drive: 3000,
            label: "CD/DVD drive 1".into(),
            controller: Some(200),
            unit: Some(0),
            medium: Medium::Image { file: "[ds1] a.iso".into() },
            start_connected: true,
            connected: false,
            guest_control: true,
        };
        let other = Loaded { medium: Medium::Image { file: "[ds1] b.iso".into() }, ..loaded.clone() };
        let found = |base: VirtualDevice| judge(&loaded, &[VirtualCdrom { base }]);
        assert_eq!(found(loaded.emptied()), Found::Empty);
        assert_eq!(found(loaded.filled()), Found::There);
        for changed in [found(other.filled()), judge(&loaded, &[])] {
            let Found::Changed(reason) = changed else { panic!("{changed:?}") };
            assert!(reason.contains("CD/DVD drive 1") && reason.contains("a.iso"), "{reason}");
        }
    }
}
