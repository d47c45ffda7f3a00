//! `hyperctl convert SRC -o DST`: a disk or a package that lies here, in another format.

use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ValueEnum};
use hyper_api::{Compression, ConvertSpec, ImageFormat};

use super::Session;
use super::local::{self, Outside, SourceForm};
use crate::cli::Json;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{goflags, human};

/// What to convert, and into what.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Disk image, .vmx, package (.ovf, .ova) or directory that holds one
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// File or block device to write; a directory for several disks
    #[arg(short, long, value_name = "DST")]
    output: PathBuf,
    /// Form of what is written [default: what the name of DST ends in]
    #[arg(long, value_name = "raw|qcow2|vmdk|ova|ovf", hide_possible_values = true)]
    to: Option<Format>,
    /// Form of SRC, for a raw disk whose name does not end in .raw or .img
    #[arg(long, value_name = "raw", hide_possible_values = true)]
    from: Option<SourceForm>,
    /// Compress a qcow2 [default: deflate]
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        value_name = "deflate|zstd",
        default_missing_value = "deflate",
        hide_possible_values = true
    )]
    compress: Option<Compress>,
    /// Length of a cluster of a qcow2, 64K to 2M [default: 64K]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_bytes)]
    cluster: Option<u64>,
    /// Replace what stands at DST
    #[arg(
        long,
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        value_name = "true|false",
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        value_parser = goflags::boolean
    )]
    force: bool,
    #[command(flatten)]
    outside: Outside,
    #[command(flatten)]
    json: Json,
}

/// The form of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Raw,
    Qcow2,
    Vmdk,
    Ova,
    Ovf,
}

impl From<Format> for ImageFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Raw => Self::Raw,
            Format::Qcow2 => Self::Qcow2,
            Format::Vmdk => Self::Vmdk,
            Format::Ova => Self::Ova,
            Format::Ovf => Self::Ovf,
        }
    }
}

/// How a qcow2 is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Compress {
    Deflate,
    Zstd,
}

impl From<Compress> for Compression {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::Deflate => Self::Deflate,
            Compress::Zstd => Self::Zstd,
        }
    }
}

/// Converts.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let json = args.json.json;
    local::run_job(resolve(&args)?.into(), json, session).await
}

/// Makes the request: paths become absolute here, because the child may have another directory.
fn resolve(args: &Args) -> Result<ConvertSpec, Failure> {
    let source = local::absolute("convert", &args.source)?;
    let output = local::absolute("convert", &args.output)?;
    let format = match args.to {
        Some(format) => format.into(),
        None => by_name(&args.output).ok_or_else(|| {
            let reason = format!("convert: the name {} does not say in which form to write", args.output.display());
            Failure::new(Exit::Usage, reason).with_hint("say it with --to raw|qcow2|vmdk|ova|ovf")
        })?,
    };
    let is_qcow2 = format == ImageFormat::Qcow2;
    for (is_given, flag) in [(args.compress.is_some(), "--compress"), (args.cluster.is_some(), "--cluster")] {
        if is_given && !is_qcow2 {
            let reason = format!("convert: {flag} is for qcow2, and {} is to be written", format.word());
            return Err(Failure::new(Exit::Usage, reason));
        }
    }
    Ok(ConvertSpec {
        source,
        output,
        format,
        compression: args.compress.map(Compression::from),
        cluster_bytes: args.cluster,
        replace: args.force,
        follow_outside: args.outside.follow_outside,
        source_is_raw: args.from.is_some(),
    })
}

/// Returns the form that a name says: by its ending, and raw for a block device.
fn by_name(output: &Path) -> Option<ImageFormat> {
    if output.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
        return Some(ImageFormat::Raw);
    }
    let ending = output.extension().and_then(OsStr::to_str)?.to_ascii_lowercase();
    match ending.as_str() {
        "raw" | "img" => Some(ImageFormat::Raw),
        "qcow2" => Some(ImageFormat::Qcow2),
        "vmdk" => Some(ImageFormat::Vmdk),
        "ova" => Some(ImageFormat::Ova),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(output: &str) -> Args {
        Args {
            source: "web01.ova".into(),
            output: output.into(),
            to: None,
            from: None,
            compress: None,
            cluster: None,
            force: false,
            outside: Outside { follow_outside: false },
            json: Json { json: false },
        }
    }

    #[test]
    fn the_form_is_what_the_name_ends_in_unless_it_is_said() {
        for (output, format) in [
            ("a.qcow2", Some(ImageFormat::Qcow2)),
            ("a.b.IMG", Some(ImageFormat::Raw)),
            ("a.raw", Some(ImageFormat::Raw)),
            ("a.vmdk", Some(ImageFormat::Vmdk)),
            ("a.ova", Some(ImageFormat::Ova)),
            ("qcow2", None),
            ("a.vdi", None),
            ("/dev/null", None),
        ] {
            assert_eq!(resolve(&args(output)).ok().map(|spec| spec.format), format, "{output}");
        }
        let named = Args { to: Some(Format::Ovf), ..args("directory") };
        assert_eq!(resolve(&named).unwrap().format, ImageFormat::Ovf);
    }

    #[test]
    fn paths_are_made_absolute_against_our_directory() {
        let here = std::env::current_dir().unwrap();
        let spec = resolve(&args("sub/a.qcow2")).unwrap();
        assert_eq!((spec.source, spec.output), (here.join("web01.ova"), here.join("sub/a.qcow2")));
    }

    #[test]
    fn options_of_another_form_are_refused_rather_than_ignored() {
        for wrong in [
            Args { compress: Some(Compress::Zstd), ..args("a.raw") },
            Args { cluster: Some(65536), ..args("a.vmdk") },
            Args { source: PathBuf::new(), ..args("a.raw") },
            args(""),
        ] {
            let exit = resolve(&wrong).unwrap_err().print(crate::console::Console::standard());
            assert_eq!(exit, Exit::Usage, "{wrong:?}");
        }
    }
}
