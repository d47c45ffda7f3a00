//! The one table of keys.

/// What a value looks like in a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts separated by commas; empty for none.
    List,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path, with dots.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What it does, in lines of at most 100 characters.
    pub help: &'static str,
    /// For a key that has no value unless somebody gives one: one that could be given, as TOML.
    pub sample: Option<&'static str>,
}

impl Key {
    /// Returns the name of the variable that overrides it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// What the variables of all keys start with.
pub(super) const PREFIX: &str = "HYPERVISORD_";

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, help, sample: None }
}

const fn optional(name: &'static str, kind: Kind, sample: &'static str, help: &'static str) -> Key {
    Key { name, kind, help, sample: Some(sample) }
}

/// Every key, in the order of the example.
pub const KEYS: &[Key] = &[
    key(
        "state_dir",
        Kind::Text,
        "The directory for what has to last: jobs, tokens, the daemon's own certificate. Nobody but the\n\
         daemon's user may write there. Taking a change needs a restart.",
    ),
    key(
        "listen.socket",
        Kind::Text,
        "The Unix socket. Callers are known by their user; what a job writes belongs to its caller.\n\
         Taking a change needs a restart. A socket from systemd counts instead, here and below.",
    ),
    key(
        "listen.tcp",
        Kind::List,
        "Addresses with ports. `localhost` stands for 127.0.0.1 and [::1]. Any address that is not\n\
         loopback is served with TLS only. [] for none. Taking a change needs a restart.",
    ),
    key(
        "listen.hosts",
        Kind::List,
        "Names that clients may call the daemon by, beside localhost, this machine's name and the\n\
         addresses above. Requests for other names are refused: a foreign web page sends such.",
    ),
    optional(
        "tls.certificate",
        Kind::Text,
        "\"/etc/hypervisord/tls/certificate.pem\"",
        "PEM file with the certificate for addresses that are not loopback, and those that signed it.\n\
         Without one the daemon makes its own, keeps it below state_dir and logs its fingerprint.",
    ),
    optional(
        "tls.key",
        Kind::Text,
        "\"/etc/hypervisord/tls/key.pem\"",
        "PEM file with the private key of that certificate.",
    ),
    key(
        "auth.group",
        Kind::Text,
        "Members of this group may use the socket and read the token of this start. Without such a\n\
         group only the daemon's own user and root can. Taking a change needs a restart.",
    ),
    key(
        "auth.start_token",
        Kind::Text,
        "Where a token for TCP is written at every start, for the group to read. It may operate, and\n\
         ends with the daemon. Lasting tokens: hyperctl token. Taking a change needs a restart.",
    ),
    key(
        "auth.loopback",
        Kind::Text,
        "\"token\", or \"open\" for older clients on this machine that can send no token: then every\n\
         local user may use the compatibility routes, and only these, without one.",
    ),
    key("auth.metrics", Kind::Text, "\"token\", or \"open\" when anybody who can connect may read /metrics."),
    optional(
        "source.url",
        Kind::Text,
        "\"https://vcenter.example.org/sdk\"",
        "The vCenter or ESXi host. Without a password: that stands in a file, see below. Where GOVC_URL\n\
         is in the daemon's environment, GOVC_* says everything and this section nothing.",
    ),
    optional("source.username", Kind::Text, "\"export@vsphere.local\"", "The account there."),
    optional(
        "source.password_file",
        Kind::Text,
        "\"/etc/hypervisord/source.password\"",
        "The file that holds the account's password and nothing else. Without it the systemd credential\n\
         `source.password` is read.",
    ),
    key("source.insecure", Kind::Switch, "Whether any certificate of that server does."),
    key("source.ca_files", Kind::List, "PEM files with the authorities to trust, in place of the system's."),
    key("source.known_hosts", Kind::List, "Files with lines `HOST[:PORT] THUMBPRINT`, as govc writes them."),
    key(
        "exports.service_user",
        Kind::Text,
        "The account that does the work of callers over TCP. Without such an account their jobs are\n\
         refused. A daemon that does not run as root works as its own user.",
    ),
    key(
        "exports.roots",
        Kind::List,
        "The directories below which callers over TCP may write. Links that lead out of them are not\n\
         followed. Callers over the socket write where their user may.",
    ),
    key("jobs.running", Kind::Number, "Jobs at work at once; others wait for their turn."),
    key("jobs.per_source", Kind::Number, "Of these, jobs of one source."),
    key("jobs.per_host", Kind::Number, "Of these, jobs of VMs that were on one host when they were accepted."),
    key(
        "jobs.retries",
        Kind::Number,
        "How often in a row a job that failed in a way that may pass (a server that is not reached, a\n\
         stream that breaks) is begun again by itself. Taking a change needs a restart.",
    ),
    key(
        "jobs.retry_seconds",
        Kind::Number,
        "Seconds before the first of these; each further pause is twice as long, up to ten minutes.\n\
         Taking a change needs a restart.",
    ),
    key("jobs.keep", Kind::Number, "Ended jobs that are remembered. Taking a change needs a restart."),
    key("jobs.keep_days", Kind::Number, "Days that they are remembered. Taking a change needs a restart."),
    key("limits.connections", Kind::Number, "Connections at once; others wait."),
    key("limits.head_seconds", Kind::Number, "Seconds that a client has to send the head of a request."),
    key(
        "limits.requests_per_second",
        Kind::Number,
        "Requests per second of one caller, with as many again in a burst.",
    ),
    key(
        "limits.refusals_per_minute",
        Kind::Number,
        "Requests per minute from one address that are refused with a reason and a line in the log, such as\n\
         for a wrong token; more are told that they are too many.",
    ),
    key(
        "log.level",
        Kind::Text,
        "\"debug\", \"info\", \"warn\" or \"error\". Lines about who did what are always written.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_a_page_and_a_variable_is_made_of_the_name() {
        for key in KEYS {
            assert!(key.help.lines().all(|line| line.len() <= 100), "{}", key.name);
        }
        assert_eq!(KEYS[0].variable(), "HYPERVISORD_STATE_DIR");
        assert_eq!(KEYS[1].variable(), "HYPERVISORD_LISTEN_SOCKET");
    }
}
