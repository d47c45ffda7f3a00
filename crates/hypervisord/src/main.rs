//! `hypervisord`: parse, then serve.

use std::process::ExitCode;

use hypervisord::{args, logging, private};

fn main() -> ExitCode {
    let mode = match args::parse(std::env::args_os()) {
        Ok(mode) => mode,
        Err(stop) => return stop.print(),
    };
    let served = logging::start(&|name| std::env::var(name).ok()).and_then(|()| private::run(&mode.socket));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => args::Stop::failed(format!("{reason:#}")).print(),
    }
}
