//! Rows `convert` and `compress`: images from one format to another, beside `qemu-img convert`.
//!
//! Both read the same file from the page cache and write to the same place, in turns; where there is room
//! it is a file system in memory, so that neither waits for a disk. CPU counts all processes: `hyperctl`
//! and the child that does the work. `HYPER2KVM_BENCH_MIB` says how large the guest's disk is; what it
//! has by default makes a stream of 1.5 GiB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::resident::watch;
use super::served::{cpu_of_children_s, program};
use super::{Row, build_for_speed, guest};

/// Runs of each program for a row; the medians count.
const RUNS: usize = 3;
/// Size of the guest's disk in MiB.
const GUEST_MIB: usize = 5632;
/// How much room a file system in memory must have to be used: source, and two results.
const ROOM_FACTOR: u64 = 2;

/// CPU of reading a stream into a raw disk or a qcow2, against qemu-img's.
const CPU_GOAL: f64 = 0.45;
/// Wall time of the same.
const WALL_GOAL: f64 = 0.5;
/// Wall time of whatever compresses.
const COMPRESS_WALL_GOAL: f64 = 0.4;
/// Size of a compressed qcow2.
const SIZE_GOAL: f64 = 1.02;
/// Resident memory: a part for all, and one for each core.
const MEMORY_MIB: f64 = 64.0;
const MEMORY_MIB_PER_CORE: f64 = 32.0;
/// Capacity of the sparse disk of which only a little is there, and how long it may take.
const SPARSE_GIB: u64 = 1024;
const SPARSE_LIMIT_S: f64 = 5.0;

/// Measures the rows of `convert`.
pub(super) fn run() -> Result<Vec<Row>> {
    in_a_folder(|place| {
        let mut rows = Vec::new();
        let mut memory_mib = 0.0_f64;
        for (name, format) in [("out.raw", "raw"), ("out.qcow2", "qcow2")] {
            let peer = ["convert", "-m", "16", "-W", "-O", format];
            let (ours, theirs) = place.pairs("source.vmdk", name, &[], &peer)?;
            let work = format!("convert: streamOptimized to {format}");
            let peer_name = "qemu-img convert -m 16 -W";
            rows.push(beside(&work, "CPU-s", |seen| seen.cpu_s, &ours, &theirs, (peer_name, CPU_GOAL)));
            rows.push(beside(&work, "s", |seen| seen.wall_s, &ours, &theirs, (peer_name, WALL_GOAL)));
            memory_mib = ours.iter().map(|seen| seen.memory_mib).fold(memory_mib, f64::max);
        }
        place.convert("source.vmdk", "source.qcow2", &[])?;
        let peer = ["convert", "-m", "16", "-W", "-O", "vmdk", "-o", "subformat=streamOptimized"];
        let (ours, theirs) = place.pairs("source.qcow2", "out.vmdk", &[], &peer)?;
        let work = "convert: qcow2 to streamOptimized";
        let peer_name = ("qemu-img convert -m 16 -W", COMPRESS_WALL_GOAL);
        rows.push(beside(work, "s", |seen| seen.wall_s, &ours, &theirs, peer_name));
        memory_mib = ours.iter().map(|seen| seen.memory_mib).fold(memory_mib, f64::max);
        rows.push(memory("convert", memory_mib)?);
        rows.push(place.sparse()?);
        Ok(rows)
    })
}

/// Measures the rows of `compress`.
pub(super) fn run_compress() -> Result<Vec<Row>> {
    in_a_folder(|place| {
        let mut rows = Vec::new();
        let mut memory_mib = 0.0_f64;
        for (ours, theirs) in [("deflate", "compression_type=zlib"), ("zstd", "compression_type=zstd")] {
            let option = format!("--compress={ours}");
            let peer = ["convert", "-c", "-m", "16", "-O", "qcow2", "-o", theirs];
            let work = format!("compress: streamOptimized to qcow2 with {ours}");
            let (ours, theirs) = place.pairs("source.vmdk", "out.qcow2", &[&option], &peer)?;
            let peer_name = "qemu-img convert -c -m 16";
            rows.push(beside(&work, "s", |seen| seen.wall_s, &ours, &theirs, (peer_name, COMPRESS_WALL_GOAL)));
            rows.push(beside(&work, "MiB", |seen| seen.size_mib, &ours, &theirs, (peer_name, SIZE_GOAL)));
            memory_mib = ours.iter().map(|seen| seen.memory_mib).fold(memory_mib, f64::max);
        }
        rows.push(memory("compress", memory_mib)?);
        Ok(rows)
    })
}

/// Where the files of a bench lie.
struct Place(PathBuf);

/// What one conversion took.
struct Seen {
    cpu_s: f64,
    wall_s: f64,
    memory_mib: f64,
    size_mib: f64,
}

fn in_a_folder(measure: impl FnOnce(&Place) -> Result<Vec<Row>>) -> Result<Vec<Row>> {
    build_for_speed()?;
    let mib = match std::env::var("HYPER2KVM_BENCH_MIB") {
        Ok(text) => text.parse().context("read HYPER2KVM_BENCH_MIB")?,
        Err(_) => GUEST_MIB,
    };
    let folder = roomy(mib).join(format!("hyper2kvm-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let place = Place(folder);
    let rows = place.make_source(mib).and_then(|()| measure(&place));
    fs::remove_dir_all(&place.0).with_context(|| format!("remove {}", place.0.display()))?;
    rows
}

/// Returns a file system in memory when it has room, else the usual place for temporary files.
fn roomy(mib: usize) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let output = Command::new("df").args(["--output=avail", "-m"]).arg(memory).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free = text.lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok()).unwrap_or_default();
    let wanted = u64::try_from(mib).unwrap_or(u64::MAX).saturating_mul(ROOM_FACTOR);
    if free >= wanted { memory.to_owned() } else { std::env::temp_dir() }
}

impl Place {
    fn make_source(&self, mib: usize) -> Result<()> {
        let raw = self.0.join("guest.raw");
        guest::write(&raw, mib)?;
        self.convert("guest.raw", "source.vmdk", &[])?;
        fs::remove_file(&raw).context("remove the guest's disk")
    }

    /// Runs both programs in turns over one source.
    fn pairs(&self, source: &str, target: &str, options: &[&str], peer: &[&str]) -> Result<(Vec<Seen>, Vec<Seen>)> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(self.convert(source, target, options)?);
            theirs.push(self.convert_with_qemu_img(source, target, peer)?);
        }
        Ok((ours, theirs))
    }

    fn convert(&self, source: &str, target: &str, options: &[&str]) -> Result<Seen> {
        self.remove(target)?;
        let (begun, before) = (Instant::now(), cpu_of_children_s()?);
        let mut command = Command::new(program("hyperctl")?);
        command.args(["convert", source, "-o", target]).args(options).current_dir(&self.0);
        // The child keeps its jobs there, and not among those of who runs the bench.
        command.env("XDG_STATE_HOME", &self.0);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start hyperctl")?;
        let memory_mib = watch(child)?;
        self.seen(target, begun, before, memory_mib)
    }

    fn convert_with_qemu_img(&self, source: &str, target: &str, arguments: &[&str]) -> Result<Seen> {
        self.remove(target)?;
        let (begun, before) = (Instant::now(), cpu_of_children_s()?);
        let mut command = Command::new("qemu-img");
        command.args(arguments).args([source, target]).current_dir(&self.0).stdout(Stdio::null());
        let status = command.status().context("run qemu-img")?;
        if !status.success() {
            bail!("qemu-img: {status}");
        }
        self.seen(target, begun, before, 0.0)
    }

    fn seen(&self, target: &str, begun: Instant, before: f64, memory_mib: f64) -> Result<Seen> {
        let (wall_s, cpu_s) = (begun.elapsed().as_secs_f64(), cpu_of_children_s()? - before);
        let len = fs::metadata(self.0.join(target)).with_context(|| format!("look at {target}"))?.len();
        Ok(Seen { cpu_s, wall_s, memory_mib, size_mib: len as f64 / f64::from(1 << 20) })
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {name}"))
            }
            _ => Ok(()),
        }
    }

    /// Converts a disk of which almost nothing is there.
    fn sparse(&self) -> Result<Row> {
        let file = fs::File::create(self.0.join("sparse.raw")).context("make a sparse disk")?;
        file.set_len(SPARSE_GIB << 30).context("make a sparse disk")?;
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], SPARSE_GIB << 29).context("make a sparse disk")?;
        let mut walls = Vec::new();
        for _ in 0..RUNS {
            walls.push(self.convert("sparse.raw", "sparse.qcow2", &[])?);
        }
        let wall_s = median(&walls, |seen| seen.wall_s);
        let work = format!("convert: sparse raw disk of {SPARSE_GIB} GiB to qcow2");
        Ok(Row::against_limit(work, "s", wall_s, SPARSE_LIMIT_S))
    }
}

fn memory(row: &str, mib: f64) -> Result<Row> {
    let cores = std::thread::available_parallelism().context("count the cores")?.get();
    let limit = MEMORY_MIB + MEMORY_MIB_PER_CORE * cores as f64;
    Ok(Row::against_limit(format!("{row}: most resident memory of all runs"), "MiB", mib, limit))
}

fn beside(
    work: &str,
    unit: &'static str,
    figure: fn(&Seen) -> f64,
    ours: &[Seen],
    theirs: &[Seen],
    (peer_name, goal): (&'static str, f64),
) -> Row {
    let what = match unit {
        "CPU-s" => "CPU",
        "s" => "wall time",
        _ => "size",
    };
    let work = format!("{work}, {what}");
    Row { work, unit, ours: median(ours, figure), peer: median(theirs, figure), peer_name, goal }
}

fn median(seen: &[Seen], figure: impl Fn(&Seen) -> f64) -> f64 {
    let mut figures: Vec<f64> = seen.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
