//! One conversion over its lives: goes on with what a journal knows, or begins anew and says why.

use std::error::Error as _;

use transfer::journal::{Header, Journal, Progress, Store, inspect};
use transfer::{Sink, Target};

use super::meter::Meter;
use super::source::DiskSource;
use super::{Job, error};
use crate::{Error, ErrorKind, Result, copy};

/// Of what differs from an earlier life, this much is told.
const DIFFERENCES_TOLD: usize = 3;

/// What the last life did, and what the target holds.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) copied: copy::Copied,
    pub(super) resumed: bool,
    pub(super) digest: [u8; 32],
}

impl Job<'_> {
    /// Returns what a journal of this conversion says at its start; `place` tells targets apart that one
    /// journal might serve.
    pub(super) fn header(&self, place: Option<String>) -> Result<Header> {
        let (files, _) = self.source.files_now()?;
        let mut parameters = self.options.format.parameters();
        parameters.extend(place.map(|place| ("place".to_owned(), place)));
        let source = transfer::journal::Source {
            vm: String::new(),
            disk: self.source.name().to_owned(),
            uuid: String::new(),
            capacity_bytes: self.source.disk().capacity_bytes(),
            change_id: None,
            files,
        };
        let format = self.options.format.name().to_owned();
        let chunk_bytes = transfer::chunk::CHUNK_BYTES;
        Ok(Header { source, road: "file".to_owned(), format, parameters, chunk_bytes })
    }

    /// Writes the target to its end, from wherever the journal in `store` says it is.
    pub(super) fn run(&self, target: &dyn Target, store: &mut dyn Store, header: &Header) -> Result<Done> {
        let anew = self.why_anew(store, header)?;
        if let Some(why) = anew.as_ref().and_then(Option::as_ref) {
            self.say_anew(why);
        }
        let resume = anew.is_none();
        match self.live(target, store, header, resume) {
            // What the target has is not what the journal says. The one cure is to write it all again.
            Err(failed) if resume && is_checkpoint(&failed) => {
                self.say_anew(&failed.chain());
                self.live(target, store, header, false)
            }
            outcome => outcome,
        }
    }

    fn say_anew(&self, why: &str) {
        self.observer.warning(&format!("an earlier conversion of {} is not gone on with: {why}", self.source.name()));
    }

    /// Returns `None` where a journal can be gone on with; else why it cannot, which is nothing to speak
    /// of where there is none.
    fn why_anew(&self, store: &mut dyn Store, now: &Header) -> Result<Option<Option<String>>> {
        let bytes = store.read().map_err(|reason| error::of_copy("look for an earlier conversion", reason))?;
        if bytes.is_empty() {
            return Ok(Some(None));
        }
        let then = match inspect(&bytes) {
            Ok(recovered) => recovered.header,
            Err(reason) => return Ok(Some(Some(reason.to_string()))),
        };
        let differences = then.differences(now);
        if !differences.is_empty() {
            let told = differences.iter().take(DIFFERENCES_TOLD);
            let told: Vec<_> =
                told.map(|found| format!("{} was {}, is {}", found.what, found.then, found.now)).collect();
            return Ok(Some(Some(told.join("; "))));
        }
        let (_, known) = self.source.files_now()?;
        let unknown = || "nothing says whether the source is still the same".to_owned();
        Ok((!known).then(|| Some(unknown())))
    }

    /// One life: up to the finished target, or to an error that leaves something to go on from.
    fn live(&self, target: &dyn Target, store: &mut dyn Store, header: &Header, resume: bool) -> Result<Done> {
        let name = self.source.name();
        let failed = |reason| error::of_copy(format!("convert {name}"), reason);
        let (mut journal, start, sink) = begin(target, &mut *store, header, resume).map_err(failed)?;
        let meter = Meter::new(self.observer, header.source.capacity_bytes);
        let source = DiskSource(self.source);
        let ends = copy::Ends { source: &source, sink: &*sink, cancel: self.cancel };
        let copied = copy::copy(&ends, &mut journal, &start, &self.options.copy, &meter).map_err(failed)?;
        meter.finishing();
        self.refuse_changed(header)?;
        sink.finish().map_err(failed)?;
        // What is durable counts, not what this life remembers.
        let said = store.read().and_then(|bytes| inspect(&bytes)).map_err(failed)?;
        let digest = said.progress.digest().ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("convert {name}: the journal of a whole disk has gaps"))
        })?;
        let resumed = copied.kept_bytes > 0;
        Ok(Done { copied, resumed, digest })
    }

    /// Refuses what was read while somebody wrote to it.
    fn refuse_changed(&self, begun: &Header) -> Result<()> {
        let (files, _) = self.source.files_now()?;
        let ended = Header { source: transfer::journal::Source { files, ..begun.source.clone() }, ..begun.clone() };
        let Some(changed) = begun.differences(&ended).pop() else {
            return Ok(());
        };
        let context = format!(
            "convert {}: it changed while it was read: {} was {}, is {}",
            self.source.name(),
            changed.what,
            changed.then,
            changed.now
        );
        Err(Error::new(ErrorKind::Verification, context)
            .with_hint("run the same command again when nobody writes to it; it starts anew"))
    }
}

type Begun<'a> = (Journal<&'a mut dyn Store>, Progress, Box<dyn Sink>);

fn begin<'a>(
    target: &dyn Target,
    store: &'a mut dyn Store,
    header: &Header,
    resume: bool,
) -> transfer::Result<Begun<'a>> {
    if resume {
        let (journal, recovered) = Journal::open(store)?;
        let sink = target.reopen(&recovered.checkpoints)?;
        return Ok((journal, recovered.progress, sink));
    }
    // The journal first: a partial file without one is not known to be ours.
    let journal = Journal::create(store, header)?;
    let progress = Progress::new(header.chunks()?);
    Ok((journal, progress, target.create()?))
}

fn is_checkpoint(error: &Error) -> bool {
    let reason = error.source().and_then(|reason| reason.downcast_ref::<transfer::Error>());
    reason.is_some_and(|reason| reason.kind() == transfer::ErrorKind::Checkpoint)
}
