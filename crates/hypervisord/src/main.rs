//! `hypervisord`: parse, then serve.

use std::process::ExitCode;

use hypervisord::args::{self, Mode, Stop};
use hypervisord::config::{self, Flags, Settings};
use hypervisord::listen::Given;
use hypervisord::{logging, private, serve};

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os()) {
        Err(stop) => return stop.print(),
        Ok(Mode::ConfigExample) => return Stop::said(config::example()).print(),
        Ok(Mode::ConfigCheck(flags)) => settings(&flags).map(|settings| Stop::said(settings.to_string()).print()),
        Ok(Mode::Private(socket)) => logging::start(&variable).and_then(|()| private::run(&socket)).map(success),
        Ok(Mode::Daemon(flags)) => daemon(&flags).map(success),
    };
    done.unwrap_or_else(|reason| Stop::failed(format!("{reason:#}")).print())
}

fn daemon(flags: &Flags) -> anyhow::Result<()> {
    // First: it changes the environment, and no other thread may run yet.
    let given = Given::take()?;
    let settings = settings(flags)?;
    let log = logging::start_daemon(settings.config.log.level, &variable)?;
    serve::run(flags, settings, given, &log)
}

fn settings(flags: &Flags) -> anyhow::Result<Settings> {
    config::load(flags, std::env::vars_os())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
