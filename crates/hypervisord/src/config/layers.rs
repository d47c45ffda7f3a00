//! Lays the environment and the flags over the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize as _;

use super::keys::PREFIX;
use super::{Config, DEFAULT_FILE, KEYS, Key, Kind, check, older};

/// The variable that names the file.
const FILE_VARIABLE: &str = "HYPERVISORD_CONFIG";

/// Largest file that is read; the example has some 5 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables with our prefix that are no keys: the file's name, hyperctl's, and those of the log.
const OTHER_VARIABLES: [&str; 6] = [
    FILE_VARIABLE,
    "HYPERVISORD_URL",
    "HYPERVISORD_BIN",
    "HYPERVISORD_TOKEN",
    "HYPERVISORD_LOG",
    "HYPERVISORD_LOG_FILE",
];

/// Variables of older service files, and the keys they set. Ours, where set, count instead.
const OLDER_VARIABLES: [(&str, &str); 2] = [("DAEMON_ADDR", "listen.tcp"), ("LOG_LEVEL", "log.level")];

/// Variables of older service files that this version accepts without doing anything.
const IDLE_VARIABLES: [(&str, &str); 2] = [
    ("DOWNLOAD_WORKERS", "an export takes one connection for each disk"),
    ("RETRY_ATTEMPTS", "what can be tried again is tried until its time is up"),
];

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The file to read.
    pub config: Option<PathBuf>,
    /// The only address to listen on.
    pub addr: Option<String>,
    /// The least that is worth a log line.
    pub log_level: Option<String>,
}

/// Who has set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File,
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The settings, and where they come from.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings.
    pub config: Config,
    /// The file that was read; `None` when there is none.
    pub file: Option<PathBuf>,
    /// Who has set what; a key that is not here has its default.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What a person should know and nobody fails for.
    pub notes: Vec<String>,
}

impl fmt::Display for Settings {
    /// Writes what differs from the defaults, and who says so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => writeln!(f, "# file: {}", file.display())?,
            None => writeln!(f, "# file: none")?,
        }
        for note in &self.notes {
            writeln!(f, "# {note}")?;
        }
        let table = toml::Table::try_from(&self.config).map_err(|_| fmt::Error)?;
        for key in KEYS {
            if let (Some(origin), Some(value)) = (self.origins.get(key.name), super::example::lookup(&table, key.name))
            {
                writeln!(f, "{} = {value} # {origin}", key.name)?;
            }
        }
        Ok(())
    }
}

/// Reads the settings from the file, `environment` and `flags`.
///
/// # Errors
/// When the file cannot be read, is of an older form, or any layer has a key or value that makes no sense.
pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (OsString, OsString)>) -> anyhow::Result<Settings> {
    let environment = relevant(environment)?;
    let given = flags.config.clone().or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
    let (file, text) = match given {
        Some(path) => {
            let text = read(&path).with_context(|| format!("read the configuration {}", path.display()))?;
            (Some(path), text)
        }
        None => match read(Path::new(DEFAULT_FILE)) {
            Ok(text) => (Some(DEFAULT_FILE.into()), text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (None, String::new()),
            Err(error) => return Err(error).with_context(|| format!("read the configuration {DEFAULT_FILE}")),
        },
    };
    let mut layers = Layers::of_file(&text, file.as_deref())?;
    layers.lay_environment(&environment)?;
    layers.lay_flags(flags)?;
    let config = Config::deserialize(layers.table).map_err(|error| {
        // The file alone was right: it is a layer above it that is not, and its text has no lines to point at.
        anyhow!("read the settings of environment and flags: {}", error.message())
    })?;
    check::check(&config)?;
    let notes = IDLE_VARIABLES.iter().filter(|(name, _)| environment.contains_key(*name));
    let notes = notes.map(|(name, why)| format!("{name} has no effect: {why}")).collect();
    Ok(Settings { config, file, origins: layers.origins, notes })
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Returns the variables that are for us; empty ones are as if they were not there.
fn relevant(environment: impl IntoIterator<Item = (OsString, OsString)>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut ours = BTreeMap::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        let known = OLDER_VARIABLES.iter().chain(&IDLE_VARIABLES).any(|(known, _)| *known == name);
        if value.is_empty() || !(known || name.starts_with(PREFIX)) {
            continue;
        }
        let value = value.into_string().map_err(|_| anyhow!("read {name}: its value is no UTF-8"))?;
        ours.insert(name, value);
    }
    Ok(ours)
}

struct Layers {
    table: toml::Table,
    origins: BTreeMap<&'static str, Origin>,
}

impl Layers {
    fn of_file(text: &str, file: Option<&Path>) -> anyhow::Result<Self> {
        let shown = file.unwrap_or_else(|| Path::new(DEFAULT_FILE)).display();
        if let Err(error) = toml::from_str::<Config>(text) {
            if let Some(same) = older::as_toml(text) {
                bail!("read the configuration {shown}: it is of the older form (YAML), which is not read\n{same}");
            }
            // Not the error's own text, which shows the line: a password may stand in it.
            let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            bail!("read the configuration {shown}: line {line}: {}", error.message());
        }
        let table: toml::Table = toml::from_str(text).with_context(|| format!("read the configuration {shown}"))?;
        let in_file = |key: &&Key| super::example::lookup(&table, key.name).is_some();
        let origins = KEYS.iter().filter(in_file).map(|key| (key.name, Origin::File)).collect();
        Ok(Self { table, origins })
    }

    fn lay_environment(&mut self, environment: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for (variable, name) in OLDER_VARIABLES {
            if let Some(value) = environment.get(variable) {
                self.set(name, value, Origin::Variable(variable.to_owned()))?;
            }
        }
        for (variable, value) in environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX)) {
            if OTHER_VARIABLES.contains(&variable.as_str()) {
                continue;
            }
            let key = KEYS.iter().find(|key| key.variable() == *variable);
            let key = key.ok_or_else(|| {
                anyhow!("read {variable}: there is no such setting; `hypervisord config example` shows all")
            })?;
            self.set(key.name, value, Origin::Variable(variable.clone()))?;
        }
        Ok(())
    }

    fn lay_flags(&mut self, flags: &Flags) -> anyhow::Result<()> {
        for (name, value, flag) in [("listen.tcp", &flags.addr, "-addr"), ("log.level", &flags.log_level, "-log-level")]
        {
            if let Some(value) = value {
                self.set(name, value, Origin::Flag(flag))?;
            }
        }
        Ok(())
    }

    /// Sets one key from a text. The text is not repeated in errors: nobody knows what was put there.
    fn set(&mut self, name: &'static str, text: &str, origin: Origin) -> anyhow::Result<()> {
        let key = KEYS.iter().find(|key| key.name == name).with_context(|| format!("find the setting {name}"))?;
        // Older service files have it in any case.
        let lower = text.to_ascii_lowercase();
        let text = if name == "log.level" { &lower } else { text };
        let value = value(key.kind, text).with_context(|| format!("read {name} from {origin}"))?;
        let (section, leaf) = name.rsplit_once('.').unwrap_or(("", name));
        let table = match section {
            "" => &mut self.table,
            section => {
                let entry = self.table.entry(section).or_insert_with(|| toml::Table::new().into());
                entry.as_table_mut().with_context(|| format!("set {name}: {section} is no section"))?
            }
        };
        table.insert(leaf.to_owned(), value);
        self.origins.insert(name, origin);
        Ok(())
    }
}

fn value(kind: Kind, text: &str) -> anyhow::Result<toml::Value> {
    Ok(match kind {
        Kind::Text => text.into(),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            toml::Value::Array(items.map(Into::into).collect())
        }
        Kind::Number => text.parse::<u32>().map(i64::from).context("it is no whole number up to 4294967295")?.into(),
        Kind::Switch => text.parse::<bool>().context("it is neither `true` nor `false`")?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Level};
    use super::*;

    fn loaded(file: &str, environment: &[(&str, &str)], flags: &Flags) -> anyhow::Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, file).unwrap();
        let flags = Flags { config: Some(path), ..flags.clone() };
        load(&flags, environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    fn refusal(file: &str, environment: &[(&str, &str)], flags: &Flags) -> String {
        format!("{:#}", loaded(file, environment, flags).unwrap_err())
    }

    #[test]
    fn flags_count_before_the_environment_and_that_before_the_file() {
        let file = "[log]\nlevel = \"error\"\n[auth]\nloopback = \"open\"\n[limits]\nconnections = 7";
        let environment = [("HYPERVISORD_LOG_LEVEL", "warn"), ("HYPERVISORD_LIMITS_CONNECTIONS", "8")];
        let flags = Flags { log_level: Some("debug".into()), ..Flags::default() };
        let settings = loaded(file, &environment, &flags).unwrap();
        assert_eq!(settings.config.log.level, Level::Debug);
        assert_eq!(settings.config.limits.connections, 8);
        assert_eq!(settings.config.auth.loopback, Access::Open);
        assert_eq!(settings.origins["log.level"], Origin::Flag("-log-level"));
        assert_eq!(settings.origins["auth.loopback"], Origin::File);
        assert_eq!(settings.origins.get("auth.group"), None);
        let shown = settings.to_string();
        for line in ["log.level = \"debug\" # -log-level", "limits.connections = 8 # HYPERVISORD_LIMITS_CONNECTIONS"] {
            assert!(shown.lines().any(|each| each == line), "{shown}");
        }
    }

    #[test]
    fn older_variables_count_and_ours_count_before_them() {
        let older = [("DAEMON_ADDR", "127.0.0.1:9"), ("LOG_LEVEL", "ERROR"), ("DOWNLOAD_WORKERS", "4")];
        let settings = loaded("", &older, &Flags::default()).unwrap();
        assert_eq!(settings.config.listen.tcp, ["127.0.0.1:9"]);
        assert_eq!(settings.config.log.level, Level::Error);
        assert!(settings.notes[0].contains("DOWNLOAD_WORKERS"), "{:?}", settings.notes);
        let both = [("LOG_LEVEL", "error"), ("HYPERVISORD_LOG_LEVEL", "warn")];
        assert_eq!(loaded("", &both, &Flags::default()).unwrap().config.log.level, Level::Warn);
    }

    #[test]
    fn a_list_in_a_variable_is_separated_by_commas() {
        let environment = [("HYPERVISORD_LISTEN_TCP", "127.0.0.1:1, [::1]:2"), ("HYPERVISORD_SOURCE_INSECURE", "true")];
        let settings = loaded("", &environment, &Flags::default()).unwrap();
        assert_eq!(settings.config.listen.tcp, ["127.0.0.1:1", "[::1]:2"]);
        assert!(settings.config.source.insecure);
    }

    #[test]
    fn what_makes_no_sense_is_refused_wherever_it_stands() {
        let none = Flags::default();
        for (text, why) in [
            (refusal("[auth]\nloopbak = \"open\"", &[], &none), "loopbak"),
            (refusal("[auth]\nloopback = \"maybe\"", &[], &none), "line 2: unknown variant `maybe`"),
            (refusal("", &[("HYPERVISORD_AUTH_LOOPBAK", "open")], &none), "no such setting"),
            (refusal("", &[("HYPERVISORD_LIMITS_CONNECTIONS", "-1")], &none), "no whole number"),
            (refusal("", &[("HYPERVISORD_SOURCE_INSECURE", "yes")], &none), "neither"),
            (refusal("", &[], &Flags { log_level: Some("loud".into()), ..Flags::default() }), "loud"),
        ] {
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_repeated() {
        for file in ["[source]\npassword = \"secret\"", "[source]\npassword = secret", "password = \"secret"] {
            let text = refusal(file, &[], &Flags::default());
            assert!(text.contains("line ") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn variables_that_are_for_hyperctl_or_for_nobody_are_left_alone() {
        let environment = [("HYPERVISORD_URL", "http://x"), ("HYPERVISORD_AUTH_GROUP", ""), ("PATH", "/bin")];
        assert_eq!(loaded("", &environment, &Flags::default()).unwrap().config, Config::default());
    }

    #[test]
    fn a_file_of_the_older_form_is_refused_with_the_toml_that_says_the_same() {
        let text = refusal("vcenterurl: https://vc/sdk\nlog_level: debug\n", &[], &Flags::default());
        assert!(text.contains("url = \"https://vc/sdk\"") && text.contains("level = \"debug\""), "{text}");
    }
}
