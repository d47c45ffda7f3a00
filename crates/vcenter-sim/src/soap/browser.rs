//! The datastore browser: which files there are, as tasks whose result is a list.
//!
//! A datastore has a browser for itself, a host has one for all datastores that it has mounted.

use vsphere::wire::generated::{
    AnyFileInfo, AnyFileQuery, FileInfo, FileQueryFlags, FolderFileInfo, HostDatastoreBrowserSearchResults,
    HostDatastoreBrowserSearchSpec, IsoImageFileInfo, SearchDatastoreSubFoldersTask, SearchDatastoreTask,
    VmConfigFileInfo, VmDiskFileInfo, VmDiskFileQuery, VmLogFileInfo, VmNvramFileInfo, VmSnapshotFileInfo,
};
use vsphere::wire::{Any, MoRef};

use super::call::Call;
use super::clock::civil_of;
use super::fault::{self, Outcome};
use super::model::Kind;
use crate::datastore::file::{FileKind, StoredFile};
use crate::datastore::machine;
use crate::datastore::tree::{self, Entry};

/// How the id of a browser begins; that of its datastore or host follows.
const PREFIX: &str = "datastoreBrowser-";

/// Who owns all files.
const OWNER: &str = "root";

/// Returns the browser of a datastore or a host.
pub(crate) fn of(object: &MoRef) -> MoRef {
    MoRef::new("HostDatastoreBrowser", format!("{PREFIX}{}", object.id))
}

/// Returns a property of a browser.
pub(crate) fn property(call: &Call<'_>, browser: &MoRef, name: &str) -> Outcome<Option<Any>> {
    let within = within_reach(call, browser)?;
    Ok(match name {
        "datastore" => {
            let datastores: Vec<MoRef> = within.into_iter().map(|number| call.datastore(number)).collect();
            Some(Any::list(&datastores, call.encode()))
        }
        "supportedType" => {
            let kinds: [AnyFileQuery; 6] = [
                AnyFileQuery::FolderFileQuery(Box::default()),
                AnyFileQuery::IsoImageFileQuery(Box::default()),
                AnyFileQuery::VmConfigFileQuery(Box::default()),
                AnyFileQuery::VmDiskFileQuery(Box::default()),
                AnyFileQuery::VmLogFileQuery(Box::default()),
                AnyFileQuery::VmNvramFileQuery(Box::default()),
            ];
            Some(Any::list(&kinds, call.encode()))
        }
        _ => None,
    })
}

/// `SearchDatastore_Task`.
pub(crate) fn search(call: &Call<'_>, request: SearchDatastoreTask) -> Outcome<MoRef> {
    let search = Search::new(call, &request.this, &request.datastore_path, request.search_spec)?;
    let outcome = match search.results_in(&search.directory) {
        Some(results) => Ok(Any::new(&results, call.encode())),
        None => Err(fault::file_not_found(&request.datastore_path)),
    };
    Ok(search.done("SearchDatastore_Task", "host.DatastoreBrowser.search", outcome))
}

/// `SearchDatastoreSubFolders_Task`.
pub(crate) fn search_below(call: &Call<'_>, request: SearchDatastoreSubFoldersTask) -> Outcome<Option<MoRef>> {
    let search = Search::new(call, &request.this, &request.datastore_path, request.search_spec)?;
    let mut all = Vec::new();
    search.collect(search.directory.clone(), &mut all);
    let outcome = if all.is_empty() {
        Err(fault::file_not_found(&request.datastore_path))
    } else {
        Ok(Any::list(&all, call.encode()))
    };
    Ok(Some(search.done("SearchDatastoreSubFolders_Task", "host.DatastoreBrowser.searchSubFolders", outcome)))
}

/// Takes a path `[datastore] directory/name` apart; the second part has no slashes at its ends.
pub(crate) fn parse(path: &str) -> Outcome<(&str, &str)> {
    // A name may have brackets of its own, as in `[store [1]] a`: the bracket before the blank ends it.
    let parts = path.trim_start().strip_prefix('[').and_then(|rest| {
        let whole = || Some((rest.strip_suffix(']')?, ""));
        rest.split_once("] ").or_else(whole).or_else(|| rest.split_once(']'))
    });
    let (datastore, rest) = parts.ok_or_else(|| fault::invalid_datastore_path(path))?;
    // Clients join paths as in a file system and write `/.` or `/dir` for what is `` or `dir`.
    let rest = rest.trim_start().trim_matches('/');
    Ok((datastore, if rest == "." { "" } else { rest }))
}

/// Returns the numbers of the datastores that a browser reaches.
fn within_reach(call: &Call<'_>, browser: &MoRef) -> Outcome<Vec<usize>> {
    let gone = || fault::not_found(browser);
    let id = browser.id.strip_prefix(PREFIX).ok_or_else(gone)?;
    let model = call.model();
    let node = ["Datastore", "HostSystem"].into_iter().find_map(|kind| model.find(&MoRef::new(kind, id)));
    let node = node.ok_or_else(gone)?;
    match &model.node(node).kind {
        Kind::Host { datacenter } => {
            let parts = model.datacenter(*datacenter).ok_or_else(gone)?;
            Ok(parts.datastores.iter().filter_map(|&id| call.datastore_number(id)).collect())
        }
        _ => Ok(call.datastore_number(node).into_iter().collect()),
    }
}

/// One search.
struct Search<'a> {
    call: &'a Call<'a>,
    browser: &'a MoRef,
    datastore: usize,
    /// Where it begins.
    directory: String,
    spec: HostDatastoreBrowserSearchSpec,
}

impl<'a> Search<'a> {
    fn new(
        call: &'a Call<'a>,
        browser: &'a MoRef,
        path: &str,
        spec: Option<HostDatastoreBrowserSearchSpec>,
    ) -> Outcome<Self> {
        let within = within_reach(call, browser)?;
        let (name, directory) = parse(path)?;
        let datastore = within.into_iter().find(|&number| call.world.datastores.get(number).name == name);
        let datastore = datastore.ok_or_else(|| fault::invalid_datastore(name))?;
        Ok(Self { call, browser, datastore, directory: directory.to_owned(), spec: spec.unwrap_or_default() })
    }

    /// Makes the task, which is over.
    fn done(&self, method: &'static str, description: &'static str, outcome: Outcome<Any>) -> MoRef {
        let user = self.call.caller.as_ref().map(|caller| caller.user.as_str()).unwrap_or_default();
        let mut state = self.call.lock();
        let id = state.tasks.add_done((self.browser, user), method, description, outcome);
        drop(state);
        self.call.soap.tell();
        MoRef::new("Task", id)
    }

    fn list(&self, directory: &str) -> Option<Vec<Entry>> {
        tree::list(self.call.world, self.datastore, directory, &|vm| self.call.soap.vm_now(vm))
    }

    /// Returns what fits in one directory; `None` when there is no such directory.
    fn results_in(&self, directory: &str) -> Option<HostDatastoreBrowserSearchResults> {
        self.list(directory).map(|entries| self.results(directory, &entries))
    }

    /// Collects what fits in a directory and in those below.
    fn collect(&self, directory: String, all: &mut Vec<HostDatastoreBrowserSearchResults>) {
        let Some(entries) = self.list(&directory) else { return };
        all.push(self.results(&directory, &entries));
        for entry in &entries {
            if let Entry::Directory(name) = entry {
                let slash = if directory.is_empty() { "" } else { "/" };
                self.collect(format!("{directory}{slash}{name}"), all);
            }
        }
    }

    fn results(&self, directory: &str, entries: &[Entry]) -> HostDatastoreBrowserSearchResults {
        let name = &self.call.world.datastores.get(self.datastore).name;
        let slash = if directory.is_empty() { "" } else { "/" };
        let mut fitting: Vec<&Entry> = entries.iter().filter(|entry| self.fits_name(entry.name())).collect();
        if self.spec.sort_folders_first == Some(true) {
            fitting.sort_by_key(|entry| matches!(entry, Entry::File(_)));
        }
        HostDatastoreBrowserSearchResults {
            datastore: Some(self.call.datastore(self.datastore)),
            folder_path: Some(format!("[{name}] {directory}{slash}")),
            file: fitting.into_iter().filter_map(|entry| self.info(entry)).collect(),
        }
    }

    fn fits_name(&self, name: &str) -> bool {
        let patterns = &self.spec.match_pattern;
        let fold = |text: &str| {
            if self.spec.search_case_insensitive == Some(true) { text.to_lowercase() } else { text.to_owned() }
        };
        patterns.is_empty() || patterns.iter().any(|pattern| fits(&fold(pattern), &fold(name)))
    }

    /// Returns what is told about an entry, unless no query asks for its kind.
    fn info(&self, entry: &Entry) -> Option<AnyFileInfo> {
        let query = self.spec.query.iter().find(|query| asks_for(query, entry));
        if query.is_none() && !self.spec.query.is_empty() {
            return None;
        }
        let details = self.spec.details.clone().unwrap_or_default();
        let base = basics(entry, &details);
        let file = match entry {
            Entry::Directory(_) => return Some(FolderFileInfo { base }.into()),
            Entry::File(file) => file,
        };
        if let Some(AnyFileQuery::VmDiskFileQuery(query)) = query {
            return self.disk(file, query, base);
        }
        if !details.file_type && query.is_none() {
            return Some(base.into());
        }
        Some(match file.kind {
            FileKind::Config => VmConfigFileInfo { base, ..VmConfigFileInfo::default() }.into(),
            FileKind::Nvram => VmNvramFileInfo { base }.into(),
            FileKind::Log => VmLogFileInfo { base }.into(),
            FileKind::SnapshotData => VmSnapshotFileInfo { base }.into(),
            FileKind::DiskDescriptor => VmDiskFileInfo { base, ..VmDiskFileInfo::default() }.into(),
            FileKind::Image => IsoImageFileInfo { base }.into(),
            FileKind::SnapshotList | FileKind::SnapshotMemory | FileKind::DiskExtent => base.into(),
        })
    }

    /// Returns what a query for disks wants to know, unless its filter leaves this one out.
    fn disk(&self, file: &StoredFile, query: &VmDiskFileQuery, base: FileInfo) -> Option<AnyFileInfo> {
        let world = self.call.world;
        let mut owners = world.datastores.owners(file.datastore, &file.directory).into_iter();
        let found = owners.find_map(|vm| machine::link_of(world, vm, file, &self.call.soap.vm_now(vm)))?;
        let filter = query.filter.clone().unwrap_or_default();
        let allowed = |list: &[String], value: &str| list.is_empty() || list.iter().any(|known| known == value);
        let disk_type = found.link.kind.vim_class();
        if !allowed(&filter.disk_type, disk_type)
            || !allowed(&filter.controller_type, found.controller)
            || filter.thin.is_some_and(|thin| thin != found.thin)
            || filter.encrypted == Some(true)
            || !filter.match_hardware_version.is_empty()
                && !filter.match_hardware_version.contains(&machine::HARDWARE_VERSION)
        {
            return None;
        }
        let told = query.details.clone().unwrap_or_default();
        let extents = || found.link.extents.iter().map(|extent| extent.name.clone()).collect();
        let info = VmDiskFileInfo {
            base,
            disk_type: told.disk_type.then(|| disk_type.to_owned()),
            capacity_kb: told.capacity_kb.then(|| i64::try_from(found.capacity_bytes / 1024).unwrap_or(i64::MAX)),
            hardware_version: told.hardware_version.then_some(machine::HARDWARE_VERSION),
            controller_type: (told.controller_type == Some(true)).then(|| found.controller.to_owned()),
            disk_extents: if told.disk_extents == Some(true) { extents() } else { Vec::new() },
            thin: (told.thin == Some(true)).then_some(found.thin),
            ..VmDiskFileInfo::default()
        };
        Some(info.into())
    }
}

/// Returns what every entry can tell.
fn basics(entry: &Entry, details: &FileQueryFlags) -> FileInfo {
    let (size, modified) = match entry {
        Entry::Directory(_) => (0, crate::datastore::EPOCH),
        Entry::File(file) => (i64::try_from(file.allocated_bytes).unwrap_or(i64::MAX), file.modified),
    };
    FileInfo {
        path: entry.name().to_owned(),
        file_size: details.file_size.then_some(size),
        modification: details.modification.then(|| civil_of(modified)),
        owner: details.file_owner.then(|| OWNER.to_owned()),
        ..FileInfo::default()
    }
}

fn asks_for(query: &AnyFileQuery, entry: &Entry) -> bool {
    let is = |kind| matches!(entry, Entry::File(file) if file.kind == kind);
    match query {
        AnyFileQuery::FileQuery(_) => true,
        AnyFileQuery::FolderFileQuery(_) => matches!(entry, Entry::Directory(_)),
        AnyFileQuery::IsoImageFileQuery(_) => is(FileKind::Image),
        AnyFileQuery::VmConfigFileQuery(_) => is(FileKind::Config),
        AnyFileQuery::VmDiskFileQuery(_) => is(FileKind::DiskDescriptor),
        AnyFileQuery::VmLogFileQuery(_) => is(FileKind::Log),
        AnyFileQuery::VmNvramFileQuery(_) => is(FileKind::Nvram),
        AnyFileQuery::VmSnapshotFileQuery(_) => is(FileKind::SnapshotData),
        AnyFileQuery::Unknown(..) => false,
    }
}

/// Returns whether a name fits a pattern, in which `*` is any text and `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last star stands, and how far the name was when it took nothing more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_other_characters() {
        for (pattern, name) in
            [("*", ""), ("*", "a.vmdk"), ("*.vmdk", "a.vmdk"), ("a?c*", "abc"), ("*a*b*", "xxaxxbxx")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("*.vmdk", "a.vmx"), ("a?", "a"), ("A", "a"), ("*a*b", "ba")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_datastore_path_has_brackets_and_perhaps_slashes_that_mean_nothing() {
        assert_eq!(parse("[ds1] a/b.vmdk"), Ok(("ds1", "a/b.vmdk")));
        for root in ["[ds1]", "[ds1] ", "[ds1] /", "[ds1] /.", "[ds1] ."] {
            assert_eq!(parse(root), Ok(("ds1", "")), "{root}");
        }
        assert_eq!(parse("[ds1] /a/"), Ok(("ds1", "a")));
        assert_eq!(parse("[ds1]/a"), Ok(("ds1", "a")));
        for root in ["[store [1]]", "[store [1]] ", "[store [1]] /."] {
            assert_eq!(parse(root), Ok(("store [1]", "")), "{root}");
        }
        assert_eq!(parse("[store [1]] a [2]/b]"), Ok(("store [1]", "a [2]/b]")));
        assert!(parse("a/b").is_err() && parse("[ds1 a").is_err());
    }
}
