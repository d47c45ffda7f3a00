//! Looks for files with the server's own browser of a datastore.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{DatastorePath, datastore_of};
use crate::error::{Error, ErrorKind, Result};
use crate::properties;
use crate::session::Session;
use crate::task::{self, Waiting};
use crate::wire::MoRef;
use crate::wire::generated::{HostDatastoreBrowserSearchResults, HostDatastoreBrowserSearchSpec, SearchDatastoreTask};

/// Longest wait for a search of one directory; slow storage takes seconds.
const SEARCH_LIMIT: Duration = Duration::from_secs(60);

/// Returns whether a file is there, on a datastore that `vm` uses.
///
/// # Errors
/// When the server does not let us look, which says nothing about the file.
pub async fn exists(session: &Session, vm: &MoRef, file: &DatastorePath) -> Result<bool> {
    let datastore = datastore_of(session, vm, file.datastore()).await?;
    let browser = properties::read(session, &datastore, &["browser"]).await?.require::<MoRef>("browser")?;
    let doing = format!("look for {file}");
    let spec = HostDatastoreBrowserSearchSpec {
        match_pattern: vec![file.name().to_owned()],
        ..HostDatastoreBrowserSearchSpec::default()
    };
    let call = SearchDatastoreTask { this: browser.clone(), datastore_path: file.directory(), search_spec: Some(spec) };
    let never = CancellationToken::new();
    let waiting = Waiting { doing: &doing, limit: SEARCH_LIMIT, cancel: &never };
    let searched = match session.call(&browser, &call).await {
        Ok(task) => task::wait(session, &task, waiting, |_| {}).await,
        Err(error) => Err(error.context(doing.as_str())),
    };
    match searched {
        Ok(info) => {
            let results: HostDatastoreBrowserSearchResults = task::result(&info)?;
            Ok(results.file.iter().any(|found| found.path == file.name()))
        }
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The directory is not there, so neither is the file.
fn is_missing(error: &Error) -> bool {
    error.kind() != ErrorKind::SessionLost && error.fault().is_some_and(|fault| fault.type_name() == "FileNotFound")
}
