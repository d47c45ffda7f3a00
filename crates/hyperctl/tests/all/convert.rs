//! `convert`, `inspect` and `verify` on real files, from the outside, with qemu-img as the judge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::programs::{Hyperctl, Run, built, until};

/// Size of the guest's disk in most tests: not a multiple of a cluster or a grain.
const CAPACITY: usize = (3 << 20) + 4096 + 512;

/// A folder with files, and the commands run over it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// Returns none where the daemon is not built or qemu-img is not there.
    fn new(test: &str) -> Option<Self> {
        built(test, "hypervisord")?;
        judges::qemu_img(test)?;
        Some(Self { folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs a command in the folder, with names in it.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut hyperctl = Hyperctl::new(arguments);
        hyperctl.command.current_dir(self.folder.path());
        hyperctl.run()
    }

    fn qemu_img(&self, arguments: &[&str]) -> bool {
        let output = Command::new("qemu-img").args(arguments).current_dir(self.folder.path()).output().unwrap();
        output.status.success()
    }

    /// Makes `disk.raw`, some of it text, noise and zeros, and returns its bytes.
    fn disk(&self) -> Vec<u8> {
        let bytes = contents(1, CAPACITY);
        self.put("disk.raw", &bytes);
        bytes
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        self.qemu_img(&["compare", one, other])
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Returns bytes that are noise, text and zeros in runs, the same for the same seed.
fn contents(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    let mut block = 0_u64;
    while bytes.len() < len {
        let digest = Sha256::digest(format!("{seed} {block}"));
        let run = 4096 * (1 + usize::from(digest[1]));
        match digest[0] % 3 {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => bytes.extend(b"some text of a guest, ".iter().cycle().take(run)),
            _ => {
                for counter in 0..run.div_ceil(32) {
                    bytes.extend(Sha256::digest(format!("{seed} {block} {counter}")));
                }
            }
        }
        block += 1;
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn every_variant_that_qemu_img_writes_becomes_the_disk_that_it_was_made_of() {
    let test = "every_variant_that_qemu_img_writes_becomes_the_disk_that_it_was_made_of";
    let Some(bench) = Bench::new(test) else { return };
    let disk = bench.disk();
    for (number, (name, format, options)) in [
        ("a.vmdk", "vmdk", "subformat=monolithicSparse"),
        ("b.vmdk", "vmdk", "subformat=monolithicFlat"),
        ("c.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
        ("d.vmdk", "vmdk", "subformat=twoGbMaxExtentFlat"),
        ("e.vmdk", "vmdk", "subformat=streamOptimized"),
        ("f.qcow2", "qcow2", "compat=0.10"),
        ("g.qcow2", "qcow2", "compat=1.1,cluster_size=512"),
        ("h.qcow2", "qcow2", "compression_type=zstd"),
        ("i.img", "raw", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let mut arguments = vec!["convert", "-f", "raw", "-O", format];
        if !options.is_empty() {
            arguments.extend(["-o", options]);
        }
        if name == "h.qcow2" {
            arguments.push("-c");
        }
        arguments.extend(["disk.raw", name]);
        assert!(bench.qemu_img(&arguments), "{name}");
        let target = format!("{number}.raw");
        bench.run(&["convert", name, "-o", &target]).expect(0);
        assert!(fs::read(bench.path(&target)).unwrap() == disk, "{name}, {options}");
    }
}

/// What stands between files in a sample of the corpus: the same mark that its builder puts there.
const BETWEEN_FILES: &[u8] = b"\n====\n";

#[test]
fn what_no_tool_writes_becomes_what_qemu_img_reads_in_it() {
    let test = "what_no_tool_writes_becomes_what_qemu_img_reads_in_it";
    let Some(bench) = Bench::new(test) else { return };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diskimage/fuzz/corpus/vmdk_read");
    let mut compared = 0;
    for sample in ["bare-cowd", "chain", "descriptor-sesparse", "mixed", "sparse", "sparse-twice", "stream"] {
        let bytes = fs::read(corpus.join(sample)).unwrap();
        let files: Vec<_> = split(&bytes, BETWEEN_FILES);
        let name = format!("{sample}.vmdk");
        // The first is the one that a user names; the others are what it names.
        for (name, bytes) in std::iter::once(name.as_str()).chain(["a", "b", "c"]).zip(&files) {
            bench.put(name, bytes);
        }
        let (ours, theirs) = (format!("{sample}.ours.raw"), format!("{sample}.theirs.raw"));
        let run = bench.run(&["convert", &name, "-o", &ours]);
        if sample == "mixed" {
            // QEMU shows zeros where the descriptor says that nobody may read. We refuse to make them up.
            assert!(run.expect(1).stderr().contains("NOACCESS"));
            continue;
        }
        if bench.qemu_img(&["convert", "-f", "vmdk", "-O", "raw", &name, &theirs]) {
            run.expect(0);
            assert!(bench.is_same(&ours, &theirs), "{sample}");
            compared += 1;
        } else {
            assert!(run.code() == 0 || run.stderr().contains("error: open "), "{sample}: {}", run.stderr());
        }
    }
    assert!(compared >= 3, "qemu-img reads {compared} of them");
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut files = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        files.push(&rest[..at]);
        rest = &rest[at + mark.len()..];
    }
    files.push(rest);
    files
}

#[test]
fn every_form_that_is_written_is_clean_and_holds_the_disk() {
    let test = "every_form_that_is_written_is_clean_and_holds_the_disk";
    let Some(bench) = Bench::new(test) else { return };
    bench.disk();
    assert!(bench.qemu_img(&["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "disk.vmdk"]));
    let mut digests = Vec::new();
    for (name, options) in [
        ("plain.qcow2", &[][..]),
        ("large.qcow2", &["--cluster", "2M"]),
        ("deflate.qcow2", &["--compress"]),
        ("zstd.qcow2", &["--compress=zstd", "--cluster=128K"]),
        ("again.vmdk", &[]),
        ("named", &["--to", "raw"]),
    ] {
        let run = bench.run(&[&["convert", "disk.vmdk", "-o", name, "-json"], options].concat()).expect(0);
        let job = run.json();
        digests.push(job["conversion"]["disks"][0]["content_blake3"].as_str().unwrap().to_owned());
        assert_eq!(job["conversion"]["files"][0]["path"], bench.text(name));
        assert!(bench.is_same("disk.raw", name), "{name}");
        if name.ends_with("qcow2") {
            assert!(bench.qemu_img(&["check", name]), "{name}");
        }
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "the same disk has one digest: {digests:?}");
    let names = bench.names(".");
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}

#[test]
fn a_package_keeps_its_machine_from_archive_to_folder_and_back_to_a_disk() {
    let test = "a_package_keeps_its_machine_from_archive_to_folder_and_back_to_a_disk";
    let Some(bench) = Bench::new(test) else { return };
    bench.disk();
    for name in ["one.vmdk", "two.vmdk"] {
        assert!(bench.qemu_img(&["convert", "-O", "vmdk", "disk.raw", name]));
    }
    let vmx = "displayName = \"web 01\"\nmemsize = \"2048\"\nnumvcpus = \"4\"\nfirmware = \"efi\"\nnvram = \"x.nvram\"\n\
        guestOS = \"debian12-64\"\nscsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n\
        scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"one.vmdk\"\n\
        scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"two.vmdk\"\n";
    bench.put("vm.vmx", vmx.as_bytes());
    bench.put("x.nvram", b"the firmware's variables");
    bench.run(&["convert", "vm.vmx", "-o", "vm.ova"]).expect(0);
    bench.run(&["verify", "vm.ova"]).expect(0);
    bench.run(&["convert", "vm.ova", "--to", "ovf", "-o", "folder"]).expect(0);
    let names = bench.names("folder");
    assert_eq!(names, ["web 01-disk-0.vmdk", "web 01-disk-1.vmdk", "web 01.mf", "web 01.nvram", "web 01.ovf"]);
    bench.run(&["verify", "folder"]).expect(0);
    bench.run(&["convert", "folder", "--to", "qcow2", "-o", "disks"]).expect(0);
    assert_eq!(bench.names("disks"), ["web 01-disk-0.qcow2", "web 01-disk-1.qcow2"]);
    for name in ["disks/web 01-disk-0.qcow2", "disks/web 01-disk-1.qcow2", "folder/web 01-disk-0.vmdk"] {
        assert!(bench.is_same("disk.raw", name), "{name}");
    }
    let found = bench.run(&["inspect", "folder", "--json"]).expect(0).json();
    let machine = &found["machine"];
    assert_eq!((&machine["name"], &machine["vcpus"]), (&"web 01".into(), &4.into()), "{found:#}");
    assert_eq!((&machine["firmware"], &machine["memory_bytes"]), (&"efi".into(), &(2_u64 << 30).into()), "{found:#}");
    assert_eq!(machine["controllers"][0]["model"], "pvscsi", "{found:#}");
    let nvram = fs::read(bench.path("folder/web 01.nvram")).unwrap();
    assert_eq!(nvram, b"the firmware's variables");
}

#[test]
fn a_package_that_is_compressed_as_a_whole_comes_in_as_well() {
    let test = "a_package_that_is_compressed_as_a_whole_comes_in_as_well";
    let Some(bench) = Bench::new(test) else { return };
    let Some(tar) = judges::tar(test) else { return };
    bench.disk();
    bench.run(&["convert", "disk.raw", "-o", "vm.ova"]).expect(0);
    let unpacked = Command::new(&tar).args(["xf", "vm.ova"]).current_dir(bench.folder.path()).status().unwrap();
    let packed = Command::new(&tar)
        .args(["czf", "vm.tar.gz", "disk.ovf", "disk.mf", "disk-disk-0.vmdk"])
        .current_dir(bench.folder.path())
        .status()
        .unwrap();
    assert!(unpacked.success() && packed.success());
    bench.run(&["convert", "vm.tar.gz", "-o", "out.qcow2"]).expect(0);
    assert!(bench.is_same("disk.raw", "out.qcow2"));
    let found = bench.run(&["inspect", "vm.tar.gz", "--json"]).expect(0).json();
    assert_eq!((&found["package"]["container"], &found["disks"][0]["state"]), (&"tar.gz".into(), &"packed".into()));
    assert!(bench.names(".").iter().all(|name| !name.starts_with('.')));
}

#[test]
fn what_is_refused_says_why_and_leaves_everything_as_it_was() {
    let test = "what_is_refused_says_why_and_leaves_everything_as_it_was";
    let Some(bench) = Bench::new(test) else { return };
    let disk = bench.disk();
    bench.put("taken.qcow2", b"mine");
    fs::create_dir(bench.path("vm")).unwrap();
    let outside = "# Disk DescriptorFile\nversion=1\nCID=123a5678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
        RW 6153 FLAT \"../disk.raw\" 0\n";
    bench.put("vm/outside.vmdk", outside.as_bytes());
    bench.put("noise", &contents(2, 8192));
    for (arguments, code, why) in [
        (&["convert", "disk.raw", "-o", "taken.qcow2"][..], 10, "--force"),
        (&["convert", "disk.raw", "-o", "disk.raw"], 2, "what is to be converted"),
        (&["convert", "disk.raw", "-o", "disk.raw", "--force"], 2, "what is to be converted"),
        (&["convert", "disk.raw", "-o", "nowhere/x.raw"], 10, "make the directory first"),
        (&["convert", "absent.vmdk", "-o", "x.raw"], 4, "absent.vmdk"),
        (&["convert", "noise", "-o", "x.raw"], 1, "--from raw"),
        (&["convert", "vm/outside.vmdk", "-o", "x.raw"], 1, "--follow-outside"),
        (&["convert", "disk.raw", "-o", "x.raw", "--compress"], 2, "--compress is for qcow2"),
        (&["convert", "disk.raw", "-o", "x.qcow2", "--cluster", "100K"], 2, "cluster"),
        (&["convert", "disk.raw", "-o", "x"], 2, "--to"),
        (&["convert", "disk.raw"], 2, "--output"),
        (&["-daemon", "http://localhost:1", "inspect", "disk.raw"], 2, "leave -daemon out"),
        (&["verify", "noise"], 1, "noise"),
        (&["verify", "vm"], 1, "none is there"),
        (&["inspect", "vm"], 4, "no .ovf, .vmx or .ova"),
    ] {
        let run = bench.run(arguments);
        assert!(run.stderr().contains(why), "{arguments:?}: {}", run.stderr());
        run.expect(code);
    }
    assert_eq!(bench.names("."), ["disk.raw", "noise", "taken.qcow2", "vm"]);
    assert!(fs::read(bench.path("disk.raw")).unwrap() == disk);
    assert_eq!(fs::read(bench.path("taken.qcow2")).unwrap(), b"mine");
    bench.run(&["convert", "disk.raw", "-o", "taken.qcow2", "--force"]).expect(0);
    assert!(bench.is_same("disk.raw", "taken.qcow2"));
    bench.run(&["convert", "vm/outside.vmdk", "-o", "x.raw", "--follow-outside"]).expect(0);
    assert!(fs::read(bench.path("x.raw")).unwrap() == disk[..6153 * 512]);
}

#[test]
fn a_conversion_that_was_killed_goes_on_and_nobody_stays_behind() {
    let test = "a_conversion_that_was_killed_goes_on_and_nobody_stays_behind";
    let Some(bench) = Bench::new(test) else { return };
    bench.put("disk.raw", &contents(3, 48 << 20));
    for (name, signal, codes) in [("kill.qcow2", "KILL", [137, 0]), ("int.qcow2", "INT", [130, 0])] {
        let mut hyperctl = Hyperctl::new(&["convert", "disk.raw", "-o", name, "--compress"]);
        hyperctl.command.current_dir(bench.folder.path());
        let child = hyperctl.spawn();
        let part = bench.path(&format!(".{name}.part"));
        until("the partial file", || (part.exists() || bench.path(name).exists()).then_some(()));
        let pid = child.id().to_string();
        // It may have ended by itself in between.
        let _status = Command::new("kill").args([&format!("-{signal}"), &pid]).output().unwrap();
        let run = Run::of(child.wait_with_output().unwrap());
        assert!(codes.contains(&run.code()), "{signal}: {} {}", run.code(), run.stderr());
        hyperctl.assert_no_descendant();
        if run.code() != 0 {
            assert!(!bench.path(name).exists() || signal == "KILL", "{signal}: no whole image after a stop");
            bench.run(&["convert", "disk.raw", "-o", name, "--compress"]).expect(0);
        }
        assert!(bench.is_same("disk.raw", name), "{name}");
        assert!(bench.qemu_img(&["check", name]), "{name}");
    }
    assert_eq!(bench.names("."), ["disk.raw", "int.qcow2", "kill.qcow2"]);
}

#[test]
fn verify_reads_every_file_and_names_the_wrong_ones() {
    let test = "verify_reads_every_file_and_names_the_wrong_ones";
    let Some(bench) = Bench::new(test) else { return };
    bench.disk();
    bench.run(&["convert", "disk.raw", "--to", "ovf", "-o", "vm"]).expect(0);
    let run = bench.run(&["verify", "vm", "--json"]).expect(0);
    assert_eq!(run.json()["verification"]["verified"].as_array().unwrap().len(), 2);
    let path = bench.path("vm/disk-disk-0.vmdk");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    for subject in ["vm", "vm/disk.ovf", "vm/disk.mf"] {
        let run = bench.run(&["verify", subject]).expect(11);
        assert!(run.stderr().contains("disk-disk-0.vmdk is not what the manifest says"), "{}", run.stderr());
        assert!(run.stdout().contains("WRONG") && run.stdout().contains("right"), "{}", run.stdout());
    }
    fs::remove_file(&path).unwrap();
    let run = bench.run(&["verify", "vm/disk.mf"]).expect(11);
    assert!(run.stderr().contains("disk-disk-0.vmdk is missing"), "{}", run.stderr());
}

#[test]
fn verify_knows_every_algorithm_and_wants_a_manifest() {
    let test = "verify_knows_every_algorithm_and_wants_a_manifest";
    let Some(bench) = Bench::new(test) else { return };
    bench.put("a", b"abc");
    let digests = [
        ("SHA1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("SHA256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "SHA512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd\
             454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (algorithm, digest) in digests {
        bench.put("x.mf", format!("{algorithm}(a)= {digest}\n").as_bytes());
        bench.run(&["verify", "x.mf"]).expect(0);
        bench.put("x.mf", format!("{algorithm}(a)= {}\n", digest.replace('a', "b")).as_bytes());
        let run = bench.run(&["verify", "x.mf", "--json"]).expect(11);
        let wrong: &Value = &run.json()["verification"]["mismatches"][0];
        assert_eq!((&wrong["algorithm"], &wrong["found"]), (&algorithm.into(), &digest.into()), "{wrong:#}");
    }
    bench.put("x.mf", b"\n");
    let run = bench.run(&["verify", "x.mf"]).expect(1);
    assert!(run.stderr().contains("at least one file"), "{}", run.stderr());
    bench.disk();
    bench.run(&["convert", "disk.raw", "--to", "ovf", "-o", "vm"]).expect(0);
    fs::remove_file(bench.path("vm/disk.mf")).unwrap();
    let run = bench.run(&["verify", "vm"]).expect(11);
    assert!(run.stderr().contains("no manifest"), "{}", run.stderr());
}

#[test]
fn inspect_shows_a_chain_with_its_extents() {
    let test = "inspect_shows_a_chain_with_its_extents";
    let Some(bench) = Bench::new(test) else { return };
    bench.disk();
    assert!(bench.qemu_img(&["convert", "-O", "vmdk", "disk.raw", "base.vmdk"]));
    assert!(bench.qemu_img(&["create", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "top.vmdk"]));
    let found = bench.run(&["inspect", "top.vmdk", "--json"]).expect(0).json();
    let image = &found["disks"][0]["image"];
    assert_eq!(found["kind"], "image");
    assert_eq!(image["links"].as_array().unwrap().len(), 2, "{found:#}");
    assert_eq!(image["links"][0]["parent"], "base.vmdk", "{found:#}");
    assert!(image["links"][1]["allocated_bytes"].as_u64().unwrap() > 0, "{found:#}");
    let run = bench.run(&["inspect", "top.vmdk"]).expect(0);
    assert!(run.stdout().contains("base.vmdk") && run.stdout().contains("Capacity"), "{}", run.stdout());
    assert_eq!(run.stderr(), "", "an answer without questions");
}
