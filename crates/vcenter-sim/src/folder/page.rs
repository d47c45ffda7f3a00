//! The pages that list datacenters, datastores and directories, for people and for tools that read links.

use std::fmt::Write as _;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::http_date;
use crate::datastore::EPOCH;
use crate::datastore::tree::Entry;
use crate::reply::{Reply, full};
use crate::world::World;

/// What stays as it is in a part of a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const HTML: &str = "text/html; charset=utf-8";

/// Lists the datacenters.
pub(super) fn datacenters(world: &World) -> Reply {
    let mut page = Page::new("Index of datacenters");
    for datacenter in &world.inventory.datacenters {
        page.row(&datacenter.path(), &format!("/folder?dcPath={}", encoded(&datacenter.path())), None);
    }
    page.finish()
}

/// Lists the datastores of a datacenter.
pub(super) fn datastores(world: &World, datacenter: usize) -> Reply {
    let path = world.inventory.datacenters[datacenter].path();
    let mut page = Page::new(&format!("Index of datastores in {path}"));
    for index in world.datastores.of_datacenter(datacenter) {
        let name = &world.datastores.get(index).name;
        page.row(name, &format!("/folder?dcPath={}&dsName={}", encoded(&path), encoded(name)), None);
    }
    page.finish()
}

/// Lists a directory.
pub(super) fn directory(world: &World, datastore: usize, path: &str, entries: &[Entry]) -> Reply {
    let there = world.datastores.get(datastore);
    let datacenter = world.inventory.datacenters[there.datacenter].path();
    let query = format!("dcPath={}&dsName={}", encoded(&datacenter), encoded(&there.name));
    let mut page = Page::new(&format!("Index of [{}] {path}", there.name));
    let above: String =
        path.split('/').filter(|part| !part.is_empty()).map(|part| format!("/{}", encoded(part))).collect();
    for entry in entries {
        let link = |slash: &str| format!("/folder{above}/{}{slash}?{query}", encoded(entry.name()));
        match entry {
            Entry::Directory(name) => page.row(&format!("{name}/"), &link("/"), None),
            Entry::File(file) => page.row(&file.name, &link(""), Some((file.size_bytes, file.modified))),
        }
    }
    page.finish()
}

/// A page with one table.
struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        let title = escaped(title);
        Self(format!(
            "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1>\n\
             <p>SIMULATED by vcenter-sim</p>\n<table>\n<tr><th>Name</th><th>Last modified</th><th>Size</th></tr>\n"
        ))
    }

    fn row(&mut self, name: &str, link: &str, file: Option<(u64, i64)>) {
        let (size, modified) = file.map_or_else(|| ("-".to_owned(), EPOCH), |(size, time)| (size.to_string(), time));
        writeln!(
            self.0,
            "<tr><td><a href=\"{}\">{}</a></td><td>{}</td><td>{size}</td></tr>",
            escaped(link),
            escaped(name),
            http_date(modified)
        )
        .expect("a String takes everything");
    }

    fn finish(mut self) -> Reply {
        self.0.push_str("</table></body></html>\n");
        full(StatusCode::OK, HTML, self.0)
    }
}

fn encoded(part: &str) -> String {
    utf8_percent_encode(part, ENCODED).to_string()
}

/// Makes a text safe between tags and in attributes; control characters become visible.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_tags_or_leave_their_attribute() {
        let mut page = Page::new("<b>");
        page.row("<script>\"&'\n", &format!("/folder/{}", encoded("a\"b/c%2f é")), Some((5, 0)));
        assert!(page.0.contains("&lt;script&gt;&quot;&amp;&#39;\u{fffd}</a>"), "{}", page.0);
        assert!(page.0.contains("href=\"/folder/a%22b%2Fc%252f%20%C3%A9\""), "{}", page.0);
        assert!(page.0.contains("<title>&lt;b&gt;</title>"), "{}", page.0);
    }
}
