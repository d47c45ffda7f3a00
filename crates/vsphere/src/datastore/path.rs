//! Names of files as vSphere writes them: `[datastore1] web01/web01.nvram`.

use std::fmt;

/// A file of a datastore. Its parts are names: none is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatastorePath {
    datastore: String,
    parts: Vec<String>,
}

impl DatastorePath {
    /// Reads `[datastore] directory/name`; `None` for anything else, and for a path that could lead out of
    /// its directory.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('[')?;
        // A name may have brackets of its own, as in `[store [1]] a`: the bracket before the blank ends it.
        // Without a blank, a bracket at the end leaves nothing but the name of a datastore.
        let tight = || rest.split_once(']').filter(|_| !rest.ends_with(']'));
        let (datastore, path) = rest.split_once("] ").or_else(tight)?;
        let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let is_name = |part: &String| part != "." && part != ".." && !part.contains(char::is_control);
        let whole = !datastore.is_empty() && !parts.is_empty() && parts.iter().all(is_name);
        whole.then(|| Self { datastore: datastore.to_owned(), parts })
    }

    /// Returns the datastore's name as stored.
    pub fn datastore(&self) -> &str {
        &self.datastore
    }

    /// Returns the directories and the name, outermost first.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Returns the file's own name.
    pub fn name(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    /// Returns the directory that the file is in, as vSphere writes it.
    pub fn directory(&self) -> String {
        let above = self.parts.split_last().map_or(&[][..], |(_, above)| above);
        format!("[{}] {}", self.datastore, above.join("/")).trim_end().to_owned()
    }
}

impl fmt::Display for DatastorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.datastore, self.parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_and_written_the_same() {
        for text in
            ["[datastore1] web01/web01.nvram", "[vsan Datastore (1)] a b/ü.iso", "[d] x", "[store [1]] a]/b [2].iso"]
        {
            let path = DatastorePath::parse(text).unwrap();
            assert_eq!(path.to_string(), text);
        }
        let path = DatastorePath::parse("[d]/a//b.iso").unwrap();
        assert_eq!((path.to_string(), path.name(), path.directory()), ("[d] a/b.iso".into(), "b.iso", "[d] a".into()));
        assert_eq!(DatastorePath::parse("[d] b.iso").unwrap().directory(), "[d]");
    }

    #[test]
    fn what_is_no_file_of_a_datastore_is_refused() {
        for text in [
            "",
            "x",
            "[d]",
            "[d] ",
            "[store [1]]",
            "[store [1]] ",
            "[] x",
            "[d] ../x",
            "[d] a/../../x",
            "[d] a/./x",
            "[d] a\n",
            "/vmfs/x",
            "ds:///vmfs/x",
        ] {
            assert_eq!(DatastorePath::parse(text), None, "{text}");
        }
    }
}
