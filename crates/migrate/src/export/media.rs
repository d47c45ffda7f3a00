//! Media that leave their drives for the length of an export: an image in a drive is among the files of a VM, and
//! a host refuses to export one whose image is gone or cannot be read.
//!
//! ```text
//!  note drive and medium in the claim ─► take it out ─► (snapshot,) lease, streams ─► put it back ─► forget the note
//!                                             └──────────── every other way out ───────────┘
//! ```
//!
//! As with snapshots, the note is durable before anything changes, so the next run of the same export puts back what
//! a run that was killed has left out. The source's drives themselves stay where they are.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use vsphere::Session;
use vsphere::cdrom::{self, Ejected, Loaded, Medium, NotPutBack, PutBack};
use vsphere::inventory::Vm;
use vsphere::wire::generated::AnyMethodFault;

use super::meter::Reporter;
use super::package::Package;
use super::{refusal, unless, with_patience};
use crate::{Result, rights};

/// A medium in its drive, as the claim has it; `docs/formats/export-claim.md` describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Note {
    drive: i32,
    label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    controller: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<i32>,
    #[serde(flatten)]
    medium: NotedMedium,
    start_connected: bool,
    connected: bool,
    guest_control: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum NotedMedium {
    Image { file: String },
    HostDrive { device: String },
    HostPassthrough { device: String, exclusive: bool },
}

impl From<&Loaded> for Note {
    fn from(loaded: &Loaded) -> Self {
        let medium = match loaded.medium.clone() {
            Medium::Image { file } => NotedMedium::Image { file },
            Medium::HostDrive { device } => NotedMedium::HostDrive { device },
            Medium::HostPassthrough { device, exclusive } => NotedMedium::HostPassthrough { device, exclusive },
        };
        Self {
            drive: loaded.drive,
            label: loaded.label.clone(),
            controller: loaded.controller,
            unit: loaded.unit,
            medium,
            start_connected: loaded.start_connected,
            connected: loaded.connected,
            guest_control: loaded.guest_control,
        }
    }
}

impl From<&Note> for Loaded {
    fn from(note: &Note) -> Self {
        let medium = match note.medium.clone() {
            NotedMedium::Image { file } => Medium::Image { file },
            NotedMedium::HostDrive { device } => Medium::HostDrive { device },
            NotedMedium::HostPassthrough { device, exclusive } => Medium::HostPassthrough { device, exclusive },
        };
        Self {
            drive: note.drive,
            label: note.label.clone(),
            controller: note.controller,
            unit: note.unit,
            medium,
            start_connected: note.start_connected,
            connected: note.connected,
            guest_control: note.guest_control,
        }
    }
}

/// Media that are out of their drives for this export.
#[derive(Debug)]
pub(super) struct Out {
    ejected: Ejected,
    notes: Vec<Note>,
}

impl Out {
    /// Takes all media of the VM out of their drives. What comes first is to be put back also beside an error.
    ///
    /// The error: what the server says, or that the note could not be written.
    pub(super) async fn take(
        session: &Session,
        vm: &Vm,
        package: &mut Package,
        cancel: &CancellationToken,
    ) -> (Option<Self>, Result<()>) {
        let failed = |error: vsphere::Error| {
            let locked = error.kind() == vsphere::ErrorKind::Late;
            let error = refusal::explain(&vm.path, error);
            if locked {
                error.with_hint("see whether the VM asks something in vSphere: a guest may have locked its drive")
            } else {
                error
            }
        };
        let drives = unless(cancel, async { cdrom::drives(session, &vm.moref).await.map_err(failed) }).await;
        let media: Vec<_> = match drives {
            Ok(drives) => drives.iter().filter_map(|drive| Loaded::of(drive)).collect(),
            Err(error) => return (None, Err(error)),
        };
        if media.is_empty() {
            return (None, Ok(()));
        }
        let notes: Vec<_> = media.iter().map(Note::from).collect();
        if let Err(error) = rights::run_current(|| package.note_media(&notes)) {
            return (None, Err(error));
        }
        let (ejected, result) = Ejected::eject(session, &vm.moref, media, cancel).await;
        (Some(Self { ejected, notes }), result.map_err(failed))
    }

    /// Puts them back. What cannot be becomes a warning that says what to do, for the export itself is right or has
    /// its own error. Returns false when a medium may still be out.
    pub(super) async fn put_back(self, package: &mut Package, reporter: &Reporter, cancel: &CancellationToken) -> bool {
        let Self { ejected, notes } = self;
        let result = with_patience(cancel, |give_up| async move { ejected.put_back(&give_up).await }).await;
        settle(&result, &notes, package, reporter)
    }
}

/// Puts back what earlier runs of this export have left out, whatever is exported now. Returns false when a medium
/// may still be out.
pub(super) async fn clear_leftovers(
    session: &Session,
    vm: &Vm,
    package: &mut Package,
    reporter: &Reporter,
    cancel: &CancellationToken,
) -> bool {
    let notes = package.media();
    if notes.is_empty() {
        return true;
    }
    let media: Vec<_> = notes.iter().map(Loaded::from).collect();
    let putting = |give_up| {
        let media = &media;
        async move { cdrom::put_back(session, &vm.moref, media, &give_up).await }
    };
    let result = with_patience(cancel, putting).await;
    if result.as_ref().is_ok_and(|put_back| put_back.left.is_empty()) {
        let names: Vec<_> = media.iter().map(|loaded| format!("{} ({})", loaded.medium, loaded.label)).collect();
        reporter.warning(&format!("put back what an earlier export had taken out: {}", names.join(", ")));
    }
    settle(&result, &notes, package, reporter)
}

/// Says what a person should know, and forgets the notes of what is settled.
fn settle(
    result: &std::result::Result<PutBack, NotPutBack>,
    notes: &[Note],
    package: &mut Package,
    reporter: &Reporter,
) -> bool {
    match result {
        Ok(put_back) => put_back.left.iter().for_each(|left| reporter.warning(&format!("{left}: left so"))),
        Err(not) => {
            let (media, reason) = (not.media.join(", "), reason(&not.error));
            if !is_gone(&not.error) {
                reporter.warning(&format!(
                    "{media} may be out of its drive: put it back in vSphere, or run the same export again: {reason}"
                ));
                return false;
            }
            // Nobody can put back what is not there, so there is nothing to remember.
            reporter.warning(&format!("{media} is not put back, and the drive stays empty: {reason}"));
        }
    }
    match rights::run_current(|| package.forget_media(notes)) {
        Ok(()) => true,
        Err(error) => {
            reporter.warning(&format!("the next export looks for media once more: {}", error.chain()));
            false
        }
    }
}

fn is_gone(error: &vsphere::Error) -> bool {
    let fault = error.fault().and_then(|fault| fault.detail.as_ref());
    matches!(fault, Some(AnyMethodFault::FileNotFound(_)))
}

fn reason(error: &vsphere::Error) -> String {
    error.fault().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_all_that_putting_back_needs() {
        for medium in [
            Medium::Image { file: "[ds1] iso/debian.iso".into() },
            Medium::HostDrive { device: "cdrom0".into() },
            Medium::HostPassthrough { device: "cdrom1".into(), exclusive: true },
        ] {
            let loaded = Loaded {
                drive: 3000,
                label: "CD/DVD drive 1".into(),
                controller: Some(200),
                unit: None,
                medium,
                start_connected: true,
                connected: false,
                guest_control: true,
            };
            let text = serde_json::to_string(&Note::from(&loaded)).unwrap();
            assert_eq!(Loaded::from(&serde_json::from_str::<Note>(&text).unwrap()), loaded, "{text}");
        }
    }

    #[test]
    fn a_note_of_this_version_stays_readable() {
        let text = r#"{"drive":3000,"label":"CD/DVD drive 1","controller":200,"unit":0,"kind":"image",
            "file":"[ds1] iso/debian.iso","start_connected":true,"connected":false,"guest_control":true}"#;
        let note: Note = serde_json::from_str(text).unwrap();
        assert_eq!(note.medium, NotedMedium::Image { file: "[ds1] iso/debian.iso".into() });
    }
}
