//! What a package says of its machine, disks and files.

use diskimage::package::machine::{Controller, ControllerModel, DeclaredFormat, Disk, DiskBacking, Machine, Place};
use diskimage::package::ovf::{Contents, DescribedDisk, DescribedFile};

use super::Request;
use super::images::stem;
use crate::convert;
use crate::subject::{Content, Nvram, Subject};

/// Memory of a machine of which nothing is known but its disk.
const MEMORY_BYTES_DEFAULT: u64 = 1 << 30;

/// The package that is being made.
pub(super) struct Described {
    /// What the names of its files begin with.
    pub(super) stem: String,
    pub(super) machine: Machine,
    /// The name of each disk's file; none for a blank disk.
    pub(super) disks: Vec<Option<String>>,
    /// Name and bytes of the firmware's variables.
    pub(super) nvram: Option<(String, Nvram)>,
    /// What a person should know.
    pub(super) warning: Option<String>,
}

impl Described {
    /// Plans the package of a subject, and takes its firmware's variables.
    pub(super) fn of(request: &Request, subject: &mut Subject) -> Self {
        let stem = stem(request, subject);
        let is_blank = |content: &Content| matches!(content, Content::Blank);
        let name = |(index, blank): (usize, bool)| (!blank).then(|| format!("{stem}-disk-{index}.vmdk"));
        let disks = subject.disks.iter().map(|disk| is_blank(&disk.content)).enumerate().map(name).collect();
        let nvram = subject.nvram.take().map(|nvram| (format!("{stem}.nvram"), nvram));
        let (machine, warning) = match subject.machine.take() {
            Some(machine) => (machine, None),
            None => {
                let warning = "a disk image says nothing of a machine: the package describes one with 1 CPU, 1 GiB of \
                     memory and no network"
                    .to_owned();
                (bare(&stem), Some(warning))
            }
        };
        Self { stem, machine, disks, nvram, warning }
    }

    /// Returns what the descriptor says of the files; `sizes` are those of the disks' files.
    pub(super) fn contents(&self, disks: &[Made]) -> Contents {
        let disk = |(name, made): (&Option<String>, &Made)| DescribedDisk {
            file: name.as_ref().map(|name| DescribedFile { name: name.clone(), size_bytes: made.file_bytes }),
            format: DeclaredFormat::Vmdk,
            capacity_bytes: made.capacity_bytes,
            populated_bytes: None,
        };
        let nvram = self.nvram.as_ref().map(|(name, nvram)| DescribedFile {
            name: name.clone(),
            size_bytes: u64::try_from(nvram.bytes.len()).unwrap_or(u64::MAX),
        });
        Contents { disks: self.disks.iter().zip(disks).map(disk).collect(), nvram }
    }
}

/// What the descriptor says of a disk that was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) file_bytes: u64,
    pub(super) capacity_bytes: u64,
}

impl From<&convert::Report> for Made {
    fn from(report: &convert::Report) -> Self {
        Self { file_bytes: report.file_bytes, capacity_bytes: report.capacity_bytes }
    }
}

/// Returns the machine around one disk of which nothing else is known.
fn bare(name: &str) -> Machine {
    let place = Place { bus: diskimage::package::machine::Bus::Scsi, controller: 0, unit: 0 };
    let disk = Disk { place: Some(place), capacity_bytes: None, populated_bytes: None, backing: DiskBacking::Blank };
    let mut machine = Machine::new(name);
    machine.memory_bytes = MEMORY_BYTES_DEFAULT;
    machine.controllers = vec![Controller { model: ControllerModel::LsiLogic, number: 0 }];
    machine.disks = vec![disk];
    machine
}
