//! How long a silent server is waited for.

use std::time::Duration;

/// How long a silent server is waited for. None of these bounds the whole of anything: transfers take hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the answer to an ordinary call.
    pub call: Duration,
    /// For the next byte of a file, or the first.
    pub idle: Duration,
}

impl Default for Patience {
    /// Five minutes for a call: `CreateDescriptor` and `ExportVm` of large VMs were reported to take
    /// minutes. Two for a byte: what is silent longer has never been reported to come back.
    fn default() -> Self {
        Self { call: Duration::from_secs(5 * 60), idle: Duration::from_secs(120) }
    }
}
