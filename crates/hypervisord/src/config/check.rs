//! What the types of the configuration cannot say.

use anyhow::{bail, ensure};

use super::Config;

/// Refuses settings that contradict each other or cannot work.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    for (name, path) in [
        ("state_dir", &config.state_dir),
        ("listen.socket", &config.listen.socket),
        ("auth.start_token", &config.auth.start_token),
    ] {
        ensure!(path.is_absolute(), "read {name}: {} is not absolute", path.display());
    }
    for root in &config.exports.roots {
        ensure!(root.is_absolute(), "read exports.roots: {} is not absolute", root.display());
    }
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        bail!("read tls: certificate and key go together, and one is missing");
    }
    if config.source.url.as_deref().is_some_and(has_password) {
        bail!("read source.url: it holds a password; put that into a file and name it in source.password_file");
    }
    let limits = &config.limits;
    for (name, value) in [
        ("connections", limits.connections),
        ("head_seconds", limits.head_seconds),
        ("requests_per_second", limits.requests_per_second),
        ("refusals_per_minute", limits.refusals_per_minute),
    ] {
        ensure!(value > 0, "read limits.{name}: nothing works with 0");
    }
    Ok(())
}

/// Returns true for `USER:PASSWORD@` before the host.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_and_no_password_is_repeated() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            check(&config).unwrap_err().to_string()
        };
        assert!(refused(|config| config.tls.key = Some("/k".into())).contains("go together"));
        assert!(refused(|config| config.state_dir = "here".into()).contains("not absolute"));
        assert!(refused(|config| config.limits.connections = 0).contains("limits.connections"));
        let text = refused(|config| config.source.url = Some("https://u:secret@vc/sdk".into()));
        assert!(text.contains("password_file") && !text.contains("secret"), "{text}");
        check(&Config::default()).unwrap();
    }

    #[test]
    fn a_password_is_found_only_before_the_host() {
        for (url, expected) in [
            ("https://vc/sdk", false),
            ("https://vc:443/sdk", false),
            ("https://user@vc/", false),
            ("https://user:p@vc", true),
            ("user:p@vc", true),
            ("https://vc/a:b@c", false),
        ] {
            assert_eq!(has_password(url), expected, "{url}");
        }
    }
}
