//! `hyperctl verify PACKAGE`: is every file what the manifest says?

use std::path::PathBuf;

use hyper_api::VerifySpec;

use super::{Session, local};
use crate::cli::Json;
use crate::exit::Exit;
use crate::failure::Failure;

/// What to verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of a package, .ova, .ovf or .mf
    #[arg(value_name = "PACKAGE")]
    package: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// Verifies.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let path = local::absolute("verify", &args.package)?;
    local::run_job(VerifySpec { path }.into(), args.json.json, session).await
}
