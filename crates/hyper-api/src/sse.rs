//! Server-sent events as text: a writer for the daemon and an incremental reader for clients.
//!
//! Only what both ends use: `id`, `event`, `data` and comments. `retry` is ignored. The reader
//! takes bytes as they arrive, split anywhere, also inside a character or a line end. It bounds
//! what it keeps; a peer that never ends a line is an error and not a growing buffer.

use std::fmt::Write as _;

/// The media type of an event stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// A comment that keeps an idle stream visibly alive.
pub const KEEP_ALIVE: &str = ": keep-alive\n\n";

/// The longest event that the reader accepts. A job with 64 files is about 16 KiB; the bound only
/// has to keep a broken peer from filling memory.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The last id that the stream named, also in an earlier event.
    pub id: Option<String>,
    /// The event's name; `message` when the stream gives none.
    pub name: String,
    /// The payload; lines joined by line feeds.
    pub data: String,
}

/// The stream breaks [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {EVENT_BYTES_MAX} bytes")]
pub struct TooLong;

/// Returns the text of one event. Line ends in `data` become several `data` lines; `id` and `name` must
/// not hold any.
pub fn write(id: &str, name: &str, data: &str) -> String {
    debug_assert!(!id.contains(['\n', '\r', '\0']) && !name.contains(['\n', '\r']));
    let mut text = String::with_capacity(data.len() + 64);
    // Writing to a String cannot fail.
    _ = write!(text, "id: {id}\nevent: {name}\n");
    for line in data.split('\n') {
        _ = writeln!(text, "data: {}", line.trim_end_matches('\r'));
    }
    text.push('\n');
    text
}

/// Reads events from bytes as they arrive.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    after_cr: bool,
    id: Option<String>,
    name: String,
    data: String,
    has_data: bool,
}

impl Reader {
    /// Takes the next bytes and appends every event that they complete to `events`.
    ///
    /// # Errors
    /// [`TooLong`]; the reader is then of no further use.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        for &byte in bytes {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\n' | b'\r' => self.end_line(events),
                _ if self.line.len() + self.data.len() >= EVENT_BYTES_MAX => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            // An empty field name is a comment; others are for other readers.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            events.push(Event { id: self.id.clone(), name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<Event> {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        for chunk in chunks {
            reader.push(chunk, &mut events).unwrap();
        }
        events
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> Event {
        Event { id: id.map(str::to_owned), name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn what_is_written_is_read_back_however_it_is_cut() {
        let text = write("7", "job", "{\"vm\":\"Bücher\"}\nsecond");
        let expected = vec![event(Some("7"), "job", "{\"vm\":\"Bücher\"}\nsecond")];
        for cut in 0..text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            assert_eq!(read(&[head, tail]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn all_three_line_ends_are_understood_also_across_chunks() {
        let expected = vec![event(None, "message", "a"), event(None, "message", "b")];
        assert_eq!(read(&[b"data: a\n\ndata: b\n\n"]), expected);
        assert_eq!(read(&[b"data: a\r\rdata: b\r\r"]), expected);
        assert_eq!(read(&[b"data: a\r", b"\n\r", b"\ndata: b\r\n\r\n"]), expected);
    }

    #[test]
    fn comments_unknown_fields_and_empty_events_are_passed_over() {
        assert_eq!(
            read(&[b": keep-alive\n\nretry: 5\nevent: x\n\nid: 3\n\ndata:y\n\n"]),
            vec![event(Some("3"), "message", "y")]
        );
    }

    #[test]
    fn an_unfinished_event_is_not_delivered() {
        assert_eq!(read(&[b"data: half\n"]), vec![]);
    }

    #[test]
    fn a_line_that_never_ends_is_an_error() {
        let mut reader = Reader::default();
        let mut events = Vec::new();
        let chunk = vec![b'x'; EVENT_BYTES_MAX];
        reader.push(&chunk, &mut events).unwrap();
        assert_eq!(reader.push(b"x", &mut events), Err(TooLong));
    }
}
