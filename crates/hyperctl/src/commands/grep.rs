//! `hyperctl grep PATTERN`: the VMs of the source whose name, path, guest or power state fits.
//!
//! A plain pattern is a part of the text; with `-E` it is an expression of RE2's kind, which takes time in proportion
//! to the text whatever it says. That nothing fits is an answer, not a failure.

use hyper_api::Vm;
use regex::RegexBuilder;

use super::Session;
use super::list::{self, Searched};
use crate::cli::{Json, switches};
use crate::daemon::Daemon;
use crate::escape::escape;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::table;

/// The largest program that an expression becomes: ten times what a long one needs.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// What to look for, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Text to look for
    #[arg(value_name = "PATTERN")]
    pattern: String,
    /// Where to look
    #[arg(short, long, value_name = "name|path|os|power|all", default_value = "name", hide_possible_values = true)]
    field: Field,
    #[command(flatten)]
    switches: Switches,
    #[command(flatten)]
    json: Json,
}

switches! {
    /// How to look, and what to print.
    struct Switches {
        /// The pattern is a regular expression
        regex = 'E',
        /// Letters fit in any case
        ignore_case = 'i',
        /// Those that do not fit
        invert = 'v',
        /// Print how many there are, and nothing else
        count = 'c',
        /// Print the names only, one a line
        names = 'l',
    }
}

/// A part of what is known of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Field {
    Name,
    Path,
    Os,
    Power,
    All,
}

impl Field {
    const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Path => "path",
            Self::Os => "os",
            Self::Power => "power",
            Self::All => "all",
        }
    }

    fn of(self, vm: &Vm) -> String {
        let guest = vm.guest.as_deref().unwrap_or_default();
        match self {
            Self::Name => vm.name.clone(),
            Self::Path => vm.path.clone(),
            Self::Os => guest.to_owned(),
            Self::Power => vm.power_state.clone(),
            Self::All => [&vm.name, &vm.path, guest, &vm.power_state].join(" "),
        }
    }
}

/// Looks for VMs.
pub(crate) async fn run(args: Args, session: Session) -> Result<Exit, Failure> {
    let fits = test(&args)?;
    let daemon = tokio::select! {
        biased;
        signal = session.interrupts.first() => return Ok(Exit::Signal(signal)),
        daemon = Daemon::connect(&session.globals, session.console) => daemon?,
    };
    let listed = tokio::select! {
        biased;
        signal = session.interrupts.first() => Err(signal),
        listed = list::ask(&daemon, args.json.json) => Ok(listed),
    };
    daemon.close().await;
    let listed = match listed {
        Ok(listed) => listed?.vms,
        Err(signal) => return Ok(Exit::Signal(signal)),
    };
    let vms: Vec<_> = listed.into_iter().filter(|vm| fits(&args.field.of(vm)) != args.switches.invert).collect();
    session.console.print(&text(&vms, &args, session.console.out_is_terminal));
    Ok(Exit::Done)
}

/// Makes the test that a text must pass.
fn test(args: &Args) -> Result<impl Fn(&str) -> bool + use<>, Failure> {
    let pattern = if args.switches.regex { args.pattern.clone() } else { regex::escape(&args.pattern) };
    let expression = RegexBuilder::new(&pattern)
        .case_insensitive(args.switches.ignore_case)
        .size_limit(EXPRESSION_BYTES_MAX)
        .build();
    let expression = expression.map_err(|reason| Failure::new(Exit::Usage, format!("grep: {reason}")))?;
    Ok(move |text: &str| expression.is_match(text))
}

fn text(vms: &[Vm], args: &Args, for_people: bool) -> String {
    let Switches { count, names, .. } = args.switches;
    if args.json.json {
        let searched = Searched { field: args.field.word(), pattern: &args.pattern };
        list::json(vms, &list::now(), Some(searched))
    } else if count {
        format!("{}\n", vms.len())
    } else if names {
        vms.iter().map(|vm| format!("{}\n", escape(&vm.name))).collect()
    } else if for_people {
        list::for_people(vms)
    } else {
        table::tabbed(&vms.iter().map(list::plain_row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(pattern: &str, regex: bool, ignore_case: bool) -> Args {
        let switches = Switches { regex, ignore_case, invert: false, count: false, names: false };
        Args { pattern: pattern.into(), field: Field::All, switches, json: Json { json: false } }
    }

    #[test]
    fn a_plain_pattern_is_a_part_and_an_expression_is_one() {
        for (pattern, regex, ignore_case, text, expected) in [
            ("web", false, false, "front-web01", true),
            ("WEB", false, false, "front-web01", false),
            ("WEB", false, true, "front-web01", true),
            ("w.b", false, false, "web", false),
            ("w.b", true, false, "web", true),
            ("^web[0-9]+$", true, false, "web01", true),
            ("^web[0-9]+$", true, false, "web01a", false),
            ("", false, false, "anything", true),
        ] {
            let fits = test(&args(pattern, regex, ignore_case)).unwrap();
            assert_eq!(fits(text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn a_wrong_or_huge_expression_is_a_wrong_command_line() {
        for pattern in ["(", "a{100000}{100000}", "(?<=a)b"] {
            assert!(test(&args(pattern, true, false)).is_err(), "{pattern}");
        }
        assert!(test(&args("(", false, false)).is_ok());
    }
}
