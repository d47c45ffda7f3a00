//! `hyperctl`: brings VMs out of vCenter.

use std::process::ExitCode;

fn main() -> ExitCode {
    hyperctl::main(std::env::args_os())
}
