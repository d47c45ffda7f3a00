//! Go's flag grammar in front of clap (contract A.1).
//!
//! `-name`, `--name`, `-name=value` and `--name=value` are the same; a flag that takes a value takes
//! the next item whatever it looks like; a boolean takes a value only after `=`; the last of a
//! repeated flag wins, but for those that add up; `--` ends flags; a lone `-` is a positional. Beyond Go, flags may also stand
//! after positionals, and global ones before the command.
//!
//! The flags are clap's own definitions, so nothing is said twice. The result is a line that clap
//! cannot misread: the command, every flag as one item `--name=value`, `--`, the positionals.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::{Arg, ArgAction, Command};

/// A command line that makes no sense: the reason, and the command it is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) reason: String,
    pub(crate) command: Option<String>,
}

/// How a flag takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    NextItem,
    OnlyAfterEquals,
}

/// Rewrites `items`, the program's name first, for `root`, which must have been built.
pub(crate) fn rewrite(root: &Command, items: &[OsString]) -> Result<Vec<OsString>, Wrong> {
    let mut line = Line { root, command: None, flags: Vec::new(), positionals: Vec::new() };
    let (program, rest) = items.split_first().map_or((None, items), |(program, rest)| (Some(program), rest));
    let mut rest = rest.iter();
    while let Some(item) = rest.next() {
        match item.as_bytes() {
            b"--" => rest.by_ref().try_for_each(|item| line.positional(item))?,
            [b'-', _, ..] => {
                let flag = line.flag(item, &mut rest)?;
                line.push(flag);
            }
            _ => line.positional(item)?,
        }
    }
    let program = program.cloned().unwrap_or_else(|| root.get_name().into());
    Ok(line.finish(program))
}

/// A flag on the line.
struct Flag {
    name: String,
    /// What clap reads.
    item: OsString,
    /// Whether several of it count, and not the last one only.
    adds_up: bool,
}

struct Line<'a> {
    root: &'a Command,
    command: Option<&'a Command>,
    flags: Vec<Flag>,
    positionals: Vec<OsString>,
}

impl<'a> Line<'a> {
    /// Takes the command if there is none yet, else a positional of it.
    fn positional(&mut self, item: &OsStr) -> Result<(), Wrong> {
        if self.command.is_some() {
            self.positionals.push(item.to_owned());
            return Ok(());
        }
        match self.root.get_subcommands().find(|command| command.get_name() == item) {
            Some(command) => self.command = Some(command),
            None => return Err(self.wrong(format!("unknown command '{}'", item.to_string_lossy()))),
        }
        Ok(())
    }

    /// Reads one flag; takes its value from `rest` where the grammar says so.
    fn flag(&self, item: &OsStr, rest: &mut std::slice::Iter<'_, OsString>) -> Result<Flag, Wrong> {
        let bytes = item.as_bytes();
        let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")).unwrap_or(bytes);
        let (name, value) = match body.iter().position(|byte| *byte == b'=') {
            Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]))),
            None => (body, None),
        };
        let name = String::from_utf8_lossy(name);
        if name.is_empty() || name.starts_with('-') {
            return Err(self.wrong(format!("'{}' is no flag", item.to_string_lossy())));
        }
        let Some((arg, long)) = self.find(&name) else {
            return Err(self.wrong(format!("unknown flag -{name}")));
        };
        let value = match (takes(arg), value) {
            (Takes::Nothing, _) => None,
            (_, Some(value)) => Some(value),
            (Takes::OnlyAfterEquals, None) => None,
            (Takes::NextItem, None) => match rest.next() {
                Some(value) => Some(value.as_os_str()),
                None => return Err(self.wrong(format!("flag -{name} needs a value"))),
            },
        };
        let mut rewritten = format!("--{long}").into_bytes();
        if let Some(value) = value {
            rewritten.push(b'=');
            rewritten.extend_from_slice(value.as_bytes());
        }
        let adds_up = matches!(arg.get_action(), ArgAction::Append);
        Ok(Flag { name: long.to_owned(), item: OsString::from_vec(rewritten), adds_up })
    }

    /// Finds a flag by its long or short name: the command's own, else a global one.
    fn find(&self, name: &str) -> Option<(&'a Arg, &'a str)> {
        let of_command = self.command.into_iter().flat_map(Command::get_arguments);
        let global = self.root.get_arguments().filter(|arg| arg.is_global_set() || is_help(arg));
        of_command.chain(global).find_map(|arg| {
            let long = arg.get_long()?;
            let is_short = arg.get_short().is_some_and(|short| name.chars().eq([short]));
            (long == name || is_short).then_some((arg, long))
        })
    }

    /// The last of a repeated flag wins, unless it is one that adds up.
    fn push(&mut self, flag: Flag) {
        self.flags.retain(|earlier| earlier.name != flag.name || flag.adds_up);
        self.flags.push(flag);
    }

    fn finish(self, program: OsString) -> Vec<OsString> {
        let mut items = vec![program];
        let mut flags: Vec<_> = self.flags.into_iter().map(|flag| flag.item).collect();
        let mut positionals = self.positionals;
        match self.command.map(Command::get_name) {
            // `help CMD` is `CMD -help`.
            Some("help") => {
                items.extend(positionals.drain(..).take(1));
                flags = vec!["--help".into()];
            }
            Some(command) => items.push(command.into()),
            None => {}
        }
        items.append(&mut flags);
        if !positionals.is_empty() {
            items.push("--".into());
            items.append(&mut positionals);
        }
        items
    }

    fn wrong(&self, reason: String) -> Wrong {
        Wrong { reason, command: self.command.map(|command| command.get_name().to_owned()) }
    }
}

fn is_help(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong)
}

fn takes(arg: &Arg) -> Takes {
    match arg.get_action() {
        ArgAction::Set | ArgAction::Append if arg.is_require_equals_set() => Takes::OnlyAfterEquals,
        ArgAction::Set | ArgAction::Append => Takes::NextItem,
        _ => Takes::Nothing,
    }
}

/// Reads an integer as Go does: a sign, decimal, `0x`, `0b`, `0o` or a leading `0`, `_` between digits.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    let wrong = || "an integer is like 42, 0x2a or 1_000".to_owned();
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Behind a prefix an underscore may come first; nowhere may it come last or twice.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    if digits.is_empty() || digits.split('_').any(|group| group.is_empty() || !group.chars().all(|c| c.is_digit(radix)))
    {
        return Err(wrong());
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).map_err(|_| wrong())
}

/// Reads a boolean as Go does.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("a boolean is true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests;
