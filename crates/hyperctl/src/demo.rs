//! What only the demo needs: the simulator as a source, and a reader of manifests.

pub(crate) mod manifest;
pub(crate) mod simulator;
