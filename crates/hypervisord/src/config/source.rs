//! The configured source as the `GOVC_*` variables that say the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Source;

/// Where systemd puts credentials, and the name of ours.
const CREDENTIALS: (&str, &str) = ("CREDENTIALS_DIRECTORY", "source.password");

impl Source {
    /// Returns the variables that describe the source; none when none is configured.
    ///
    /// With `GOVC_URL` in the environment nothing of the configuration counts: its password is for its own
    /// server, and must not reach the one that a variable names.
    ///
    /// # Errors
    /// When the password's file cannot be read.
    pub fn variables(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<BTreeMap<&'static str, String>>> {
        let by_environment = environment("GOVC_URL").is_some_and(|url| !url.is_empty());
        let Some(url) = self.url.clone().filter(|_| !by_environment) else { return Ok(None) };
        let mut variables = BTreeMap::from([("GOVC_URL", url)]);
        if let Some(username) = &self.username {
            variables.insert("GOVC_USERNAME", username.clone());
        }
        if let Some(password) = self.password(environment)? {
            variables.insert("GOVC_PASSWORD", password);
        }
        if self.insecure {
            variables.insert("GOVC_INSECURE", "true".to_owned());
        }
        for (name, files) in [("GOVC_TLS_CA_CERTS", &self.ca_files), ("GOVC_TLS_KNOWN_HOSTS", &self.known_hosts)] {
            if !files.is_empty() {
                variables.insert(name, list(files));
            }
        }
        Ok(Some(variables))
    }

    fn password(&self, environment: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Option<String>> {
        let credential = || environment(CREDENTIALS.0).map(|directory| Path::new(&directory).join(CREDENTIALS.1));
        let file = match &self.password_file {
            Some(file) => file.clone(),
            None => match credential().filter(|file| file.exists()) {
                Some(file) => file,
                None => return Ok(None),
            },
        };
        let text = fs::read_to_string(&file).with_context(|| format!("read the password in {}", file.display()))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_comes_from_its_file_or_the_credential() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("source.password"), "from systemd\n").unwrap();
        let file = folder.path().join("own");
        fs::write(&file, " own \r\n").unwrap();
        let directory = folder.path().to_string_lossy().into_owned();
        let environment = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| directory.clone());
        let mut source = Source { url: Some("https://vc".into()), ..Source::default() };
        assert_eq!(source.variables(&environment).unwrap().unwrap()["GOVC_PASSWORD"], "from systemd");
        source.password_file = Some(file);
        assert_eq!(source.variables(&environment).unwrap().unwrap()["GOVC_PASSWORD"], " own ");
        source.password_file = Some("/nowhere".into());
        assert!(format!("{:#}", source.variables(&environment).unwrap_err()).contains("/nowhere"));
    }

    #[test]
    fn the_configured_password_does_not_go_to_the_server_of_a_variable() {
        let source = Source { url: Some("https://vc".into()), password_file: Some("/p".into()), ..Source::default() };
        let environment = |name: &str| (name == "GOVC_URL").then(|| "https://other".to_owned());
        assert_eq!(source.variables(&environment).unwrap(), None);
        assert_eq!(Source::default().variables(&|_| None).unwrap(), None);
    }

    #[test]
    fn lists_are_joined_as_govc_reads_them() {
        let source = Source {
            url: Some("https://vc".into()),
            insecure: true,
            ca_files: vec!["/a".into(), "/b".into()],
            ..Source::default()
        };
        let variables = source.variables(&|_| None).unwrap().unwrap();
        assert_eq!((variables["GOVC_TLS_CA_CERTS"].as_str(), variables["GOVC_INSECURE"].as_str()), ("/a:/b", "true"));
        assert!(!variables.contains_key("GOVC_TLS_KNOWN_HOSTS"));
    }
}
