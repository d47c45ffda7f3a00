//! What a URL below `/folder` names.
//!
//! Path segments are decoded once each, so that an encoded slash is a part of a name; what the query says
//! once, or twice by a switch, as a vCenter does that finds a datacenter `R&D` only as `R%2526D`.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::connection::{Connection, ListenerId};
use crate::inventory::Personality;
use crate::world::World;

/// The name by which a host knows its only datacenter.
const HOST_DATACENTER: &str = "ha-datacenter";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A list of datacenters.
    Datacenters,
    /// A list of a datacenter's datastores.
    Datastores {
        /// Number of the datacenter.
        datacenter: usize,
    },
    /// A file or directory; the root has an empty path.
    File {
        /// Number of the datastore.
        datastore: usize,
        /// Path with single slashes between its parts.
        path: String,
    },
}

/// Why nothing is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    NotFound,
    Malformed,
}

/// What the text of a URL says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    segments: Vec<String>,
    datacenter: Option<String>,
    datastore: Option<String>,
}

impl Target {
    /// Returns what a URL names for whoever listens here.
    pub(super) fn of(connection: &Connection, uri: &Uri, double_decode: bool) -> Result<Self, Miss> {
        let said = Said::read(uri.path(), uri.query().unwrap_or_default(), double_decode)?;
        let world = &connection.world;
        // A host without a vCenter has one listener only, and is still a host.
        let listener = match world.inventory.vcenter.personality {
            Personality::VCenter => connection.listener,
            Personality::Esxi => ListenerId::Host(0),
        };
        let datacenter = match listener {
            ListenerId::VCenter => match &said.datacenter {
                Some(path) => Some(datacenter(world, path).ok_or(Miss::NotFound)?),
                None => None,
            },
            ListenerId::Host(host) => {
                let own = said.datacenter.as_deref().is_none_or(|path| path.trim_matches('/') == HOST_DATACENTER);
                Some(datacenter_of_host(world, host).filter(|_| own).ok_or(Miss::NotFound)?)
            }
        };
        match (datacenter, &said.datastore) {
            (Some(datacenter), Some(name)) => {
                let datastore = world.datastores.named(datacenter, name).ok_or(Miss::NotFound)?;
                // A name has no slash, so a segment that has one is no name, and no path either.
                if said.segments.iter().any(|segment| segment.contains('/')) {
                    return Err(Miss::NotFound);
                }
                Ok(Self::File { datastore, path: said.segments.join("/") })
            }
            (Some(datacenter), None) if said.segments.is_empty() => Ok(Self::Datastores { datacenter }),
            (None, None) if said.segments.is_empty() => Ok(Self::Datacenters),
            _ => Err(Miss::NotFound),
        }
    }
}

/// Returns the number of the datacenter with an inventory path; slashes around it mean nothing.
fn datacenter(world: &World, path: &str) -> Option<usize> {
    world.inventory.datacenters.iter().position(|datacenter| datacenter.path() == path.trim_matches('/'))
}

/// Returns the number of the datacenter that a host is in.
fn datacenter_of_host(world: &World, host: usize) -> Option<usize> {
    let name = &world.addresses.hosts.get(host)?.name;
    world.inventory.datacenters.iter().position(|datacenter| datacenter.hosts.contains(name))
}

impl Said {
    fn read(path: &str, query: &str, double_decode: bool) -> Result<Self, Miss> {
        let rest = path.strip_prefix("/folder").unwrap_or(path);
        let segments = rest.split('/').filter(|segment| !segment.is_empty());
        let decoded = segments.map(|segment| Ok(decode(segment)?.into_owned()));
        let mut said = Self { segments: decoded.collect::<Result<_, Miss>>()?, ..Self::default() };
        let query = if double_decode { decode(query)? } else { Cow::Borrowed(query) };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let place = match name {
                // An import tool for hosts says `dcName`, and hosts do not mind.
                "dcPath" | "dcName" => &mut said.datacenter,
                "dsName" => &mut said.datastore,
                _ => continue,
            };
            let value = decode(&value.replace('+', " "))?.into_owned();
            place.get_or_insert(value);
        }
        said.datacenter.take_if(|path| path.trim_matches('/').is_empty());
        Ok(said)
    }
}

fn decode(text: &str) -> Result<Cow<'_, str>, Miss> {
    percent_decode_str(text).decode_utf8().map_err(|_| Miss::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &str, query: &str, double_decode: bool) -> (Vec<String>, String, String) {
        let said = Said::read(path, query, double_decode).unwrap();
        (said.segments, said.datacenter.unwrap_or_default(), said.datastore.unwrap_or_default())
    }

    #[test]
    fn segments_are_decoded_once_and_an_encoded_slash_stays_inside_of_its_segment() {
        let (segments, datacenter, datastore) =
            said("/folder/a%20b/c%252fd/e%2ff", "dcPath=/Lab/DC+0&dsName=x%2By", false);
        assert_eq!(segments, ["a b", "c%2fd", "e/f"]);
        assert_eq!((datacenter.as_str(), datastore.as_str()), ("/Lab/DC 0", "x+y"));
        assert_eq!(said("/folder//a/", "dcName=d", false), (vec!["a".to_owned()], "d".to_owned(), String::new()));
        assert_eq!(said("/folder", "dcPath=%2F", false), (vec![], String::new(), String::new()));
    }

    #[test]
    fn a_server_that_decodes_twice_finds_an_ampersand_only_when_it_is_encoded_twice() {
        assert_eq!(said("/folder", "dcPath=R%26D", false).1, "R&D");
        assert_eq!(said("/folder", "dcPath=R%26D", true).1, "R");
        assert_eq!(said("/folder", "dcPath=R%2526D", true).1, "R&D");
        assert_eq!(said("/folder", "dcPath=DC0&dsName=a%20b", true).2, "a b");
    }

    #[test]
    fn bytes_that_are_no_text_are_malformed() {
        assert_eq!(Said::read("/folder/%ff", "", false), Err(Miss::Malformed));
        assert_eq!(Said::read("/folder", "dsName=%ff", false), Err(Miss::Malformed));
    }
}
