//! `hyperctl inspect SRC`: what a disk image or a package is.

use std::path::PathBuf;

use hyper_api::{InspectRequest, Inspection};

use super::Session;
use super::local::{self, Outside, SourceForm};
use crate::cli::Json;
use crate::escape::escape_json;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inspection;

/// What to inspect.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Disk image, .vmx, package (.ovf, .ova) or directory that holds one
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Form of SRC, for a raw disk whose name does not end in .raw or .img
    #[arg(long, value_name = "raw", hide_possible_values = true)]
    from: Option<SourceForm>,
    #[command(flatten)]
    outside: Outside,
    #[command(flatten)]
    json: Json,
}

/// Inspects.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let request = InspectRequest {
        path: local::absolute("inspect", &args.source)?,
        follow_outside: args.outside.follow_outside,
        source_is_raw: args.from.is_some(),
    };
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = local::connect(&session) => daemon?,
    };
    let found = tokio::select! {
        biased;
        signal = session.interrupts.first() => Err(signal),
        found = daemon.client.inspect(&request) => Ok(found),
    };
    daemon.close().await;
    match found {
        Ok(found) => {
            let found = found?;
            session.console.print(&if args.json.json { as_json(&found) } else { inspection::text(&found) });
            Ok(Exit::Done)
        }
        Err(signal) => Ok(Exit::Signal(signal)),
    }
}

fn as_json(found: &Inspection) -> String {
    // Text and numbers only; there is nothing in it that JSON cannot hold.
    serde_json::to_string_pretty(found).map_or_else(|_| String::new(), |text| escape_json(&text) + "\n")
}
