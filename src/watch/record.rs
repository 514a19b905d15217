//! The record of what a watch has merged: a JSON Lines file beside the outputs, to which lines are only appended.
//!
//! The first line holds the settings. Each checkpoint adds two lines: one before its output appears, with the size and time
//! of that output, and one after. If a watch is killed between the two, the next one recognizes the output by its size and
//! time. If it is killed before, the next one finds no output and merges again, to the same bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::atomic::Durability;
use crate::files::{self, Identity};
use crate::json_lines;

use super::{Error, Stamp};

/// The name of the record in the output folder.
pub const RECORD_NAME: &str = ".inmerge-watch.jsonl";

/// The value of `"format"`.
const FORMAT: &str = "inmerge-watch";

/// The version of the format that this program writes, and the only one it reads.
const VERSION: u64 = 1;

/// An open record, locked by this process if the file system has locks.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
    /// The offset of the next line.
    end: u64,
    durability: Durability,
    is_locked: bool,
    known: HashMap<String, History>,
}

/// What the record says about the checkpoints of one name.
#[derive(Debug, Default)]
struct History {
    /// The last output that is certainly in place.
    done: Option<Entry>,
    /// A later output that may be in place.
    publishing: Option<Entry>,
    /// All outputs of this name that may ever have been in place.
    outputs: Vec<Stamp>,
}

/// A checkpoint and its output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name of both files.
    pub name: String,
    /// The checkpoint as the trainer saved it.
    pub source: Stamp,
    /// SHA-256 of the source's header JSON, in hexadecimal, as in a plan.
    pub header_sha256: String,
    /// The seed it was merged with.
    pub seed: u64,
    /// The merged checkpoint.
    pub output: Stamp,
}

/// The first line of a record.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// `"inmerge-watch"`.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    format: String,
    /// The version of the format.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u64,
    /// The program that began the record, and its version.
    tool: String,
    /// The settings that all checkpoints are merged with, as an object.
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, Value>"))]
    settings: Value,
}

/// A step in the merging of a checkpoint.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The output is about to appear.
    #[cfg_attr(test, schemars(with = "Entry"))]
    Publishing(Entry),
    /// The output is in place.
    #[cfg_attr(test, schemars(with = "Entry"))]
    Done(Entry),
}

impl Record {
    /// Opens the record in the output folder, or begins one with these settings, a JSON object.
    ///
    /// # Errors
    ///
    /// If another process has locked it, it was begun with other settings, or it cannot be read or written.
    pub fn open(folder: &Path, settings: &Value, durability: Durability) -> Result<Self, Error> {
        let path = folder.join(RECORD_NAME);
        let failed = |error| Error::Record {
            file: path.clone(),
            error,
        };
        check_regular(&path)?;
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        let is_locked = match files::is_locked(&file) {
            Some(false) => true,
            Some(true) => return Err(Error::Locked(folder.to_owned())),
            // Without locks, two watches may do the same work twice, which results in the same bytes.
            None => false,
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        text.truncate(json_lines::complete(&text).len());
        let mut record = Self {
            file,
            end: text.len() as u64,
            durability,
            is_locked,
            known: HashMap::new(),
            path: path.clone(),
        };
        if text.is_empty() {
            let header = Header {
                format: FORMAT.to_owned(),
                version: VERSION,
                tool: crate::TOOL.to_owned(),
                settings: settings.clone(),
            };
            record.append(&header)?;
            durability
                .sync_at(folder)
                .map_err(|problem| failed(io::Error::other(problem)))?;
        } else {
            let contents = parse(&path, &text)?;
            if let Some(difference) = difference(&contents.settings, settings) {
                return Err(Error::OtherSettings {
                    folder: folder.to_owned(),
                    difference,
                });
            }
            record.known = contents.known;
        }
        Ok(record)
    }

    /// Checks that the record is still in the output folder: if that was replaced, no record would list what is published
    /// there.
    ///
    /// # Errors
    ///
    /// [`Error::RecordGone`] if it is not.
    pub fn check_in_place(&self) -> Result<(), Error> {
        let failed = |error| Error::Record {
            file: self.path.clone(),
            error,
        };
        let held = Identity::of(&files::status(&self.file).map_err(failed)?);
        let there = files::target(&self.path).map_err(failed)?;
        if there.is_none_or(|there| Identity::of(&there) != held) {
            return Err(Error::RecordGone(self.path.clone()));
        }
        Ok(())
    }

    /// Whether this process has locked it; `false` if the file system has no locks.
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    /// Whether the output of the checkpoint in this state was certainly put in place.
    pub fn is_done(&self, name: &str, source: Stamp) -> bool {
        let done = self.known.get(name).and_then(|known| known.done.as_ref());
        done.is_some_and(|done| done.source == source)
    }

    /// The entry of a checkpoint in this state whose output, the existing file, was put in place just before the watch was
    /// killed, so that [`Record::done`] is still to be called.
    pub fn published(&self, name: &str, source: Stamp, existing: Stamp) -> Option<Entry> {
        let publishing = self.known.get(name)?.publishing.as_ref();
        publishing
            .filter(|entry| entry.source == source && entry.output == existing)
            .cloned()
    }

    /// Whether the existing file is an output of this name.
    pub fn is_own(&self, name: &str, existing: Stamp) -> bool {
        let known = self.known.get(name);
        known.is_some_and(|known| known.outputs.contains(&existing))
    }

    /// Records that an output is about to appear.
    ///
    /// # Errors
    ///
    /// If the record cannot be written.
    pub fn publishing(&mut self, entry: &Entry) -> Result<(), Error> {
        self.append_event(Event::Publishing(entry.clone()))
    }

    /// Records that an output is in place.
    ///
    /// # Errors
    ///
    /// If the record cannot be written.
    pub fn done(&mut self, entry: &Entry) -> Result<(), Error> {
        self.append_event(Event::Done(entry.clone()))
    }

    fn append_event(&mut self, event: Event) -> Result<(), Error> {
        self.append(&event)?;
        apply_event(&mut self.known, event);
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_vec(line).expect("a line has string keys only");
        text.push(b'\n');
        let written = self.file.write_all_at(&text, self.end);
        let written = written.and_then(|()| self.file.set_len(self.end + text.len() as u64));
        let synced = written.and_then(|()| match self.durability {
            Durability::Synced => self.file.sync_data(),
            Durability::Unsynced => Ok(()),
        });
        match synced {
            Ok(()) => {
                self.end += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Readers ignore half a line, but would count a whole one.
                let _ = self.file.set_len(self.end);
                Err(Error::Record {
                    file: self.path.clone(),
                    error,
                })
            }
        }
    }
}

/// Refuses what is not a regular file, if something is at the path: opening a pipe would wait for another program.
pub(super) fn check_regular(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::Record {
        file: path.to_owned(),
        error,
    };
    match files::target(path).map_err(failed)? {
        Some(status) if !status.is_file() => {
            Err(failed(io::Error::other("it is not a regular file")))
        }
        _ => Ok(()),
    }
}

/// The contents of a record.
pub(crate) struct RecordContents {
    settings: Value,
    known: HashMap<String, History>,
}

impl RecordContents {
    /// The last output of each name that is certainly in place.
    pub fn done(&self) -> impl Iterator<Item = &Entry> {
        self.known.values().filter_map(|known| known.done.as_ref())
    }
}

/// Parses the text of a record; the path is for errors.
pub(crate) fn parse(file: &Path, text: &[u8]) -> Result<RecordContents, Error> {
    let damaged = |line: usize, problem: String| Error::Damaged {
        file: file.to_owned(),
        line,
        problem,
    };
    let mut lines = json_lines::lines(text);
    let (number, header) = lines.next().unwrap_or((1, b""));
    let header: Header =
        serde_json::from_slice(header).map_err(|error| damaged(number, error.to_string()))?;
    if (&header.format[..], header.version) != (FORMAT, VERSION) {
        let found = format!("{} {}", header.format, header.version);
        return Err(damaged(number, found));
    }
    let mut known = HashMap::new();
    for (number, line) in lines {
        let line =
            serde_json::from_slice(line).map_err(|error| damaged(number, error.to_string()))?;
        apply_event(&mut known, line);
    }
    Ok(RecordContents {
        settings: header.settings,
        known,
    })
}

fn apply_event(known: &mut HashMap<String, History>, event: Event) {
    let (Event::Publishing(entry) | Event::Done(entry)) = &event;
    let known = known.entry(entry.name.clone()).or_default();
    if !known.outputs.contains(&entry.output) {
        known.outputs.push(entry.output);
    }
    match event {
        Event::Publishing(entry) => known.publishing = Some(entry),
        Event::Done(entry) => {
            known.publishing = None;
            known.done = Some(entry);
        }
    }
}

/// The first setting that differs, in words; `None` if all are equal.
fn difference(there: &Value, now: &Value) -> Option<String> {
    let (Some(old), Some(new)) = (there.as_object(), now.as_object()) else {
        return Some("unknown ones".to_owned());
    };
    let keys = new.keys().chain(old.keys());
    let mut differing = keys.filter(|&key| old.get(key) != new.get(key));
    let shown = |value: Option<&Value>| value.map_or("unknown".to_owned(), Value::to_string);
    differing.next().map(|key| {
        let (old, new) = (shown(old.get(key)), shown(new.get(key)));
        format!("{key} was {old} and is now {new}")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use serde_json::json;

    use super::*;

    const SOURCE: Stamp = Stamp {
        bytes: 10,
        modified_ns: 1_700_000_000_123_456_789,
    };
    const OUTPUT: Stamp = Stamp {
        bytes: 10,
        modified_ns: 5,
    };

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            source: SOURCE,
            header_sha256: "00".to_owned(),
            seed: u64::MAX,
            output: OUTPUT,
        }
    }

    fn open(folder: &Path) -> Result<Record, Error> {
        let settings = json!({ "tau": 0.1 + 0.2, "seed": u64::MAX });
        Record::open(folder, &settings, Durability::Unsynced)
    }

    #[test]
    fn what_was_done_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = open(folder.path()).unwrap();
        assert!(!record.is_done("a", SOURCE) && !record.is_own("a", OUTPUT));
        record.publishing(&entry("a")).unwrap();
        record.done(&entry("a")).unwrap();
        record.publishing(&entry("b")).unwrap();
        for is_new in [false, true] {
            if is_new {
                drop(record);
                record = open(folder.path()).unwrap();
            }
            assert!(record.is_done("a", SOURCE) && record.is_own("a", OUTPUT));
            assert!(!record.is_done("a", OUTPUT) && !record.is_own("a", SOURCE));
            assert!(!record.is_done("b", SOURCE) && record.is_own("b", OUTPUT));
            assert_eq!(record.published("b", SOURCE, OUTPUT), Some(entry("b")));
            assert_eq!(record.published("b", OUTPUT, OUTPUT), None);
            assert_eq!(record.published("b", SOURCE, SOURCE), None);
            assert_eq!(record.published("a", SOURCE, OUTPUT), None);
        }
    }

    #[test]
    fn an_output_stays_known_while_a_later_one_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = open(folder.path()).unwrap();
        record.publishing(&entry("a")).unwrap();
        let later = Entry {
            source: OUTPUT,
            output: SOURCE,
            ..entry("a")
        };
        record.publishing(&later).unwrap();
        assert!(record.is_own("a", OUTPUT) && record.is_own("a", SOURCE));
        record.done(&later).unwrap();
        assert!(record.is_done("a", OUTPUT) && !record.is_done("a", SOURCE));
    }

    #[test]
    fn a_torn_last_line_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORD_NAME);
        open(folder.path()).unwrap().done(&entry("a")).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut longer = File::options().append(true).open(&path).unwrap();
        longer.write_all(&[b'x'; 1000]).unwrap();
        open(folder.path()).unwrap().done(&entry("b")).unwrap();
        {
            let record = open(folder.path()).unwrap();
            assert!(record.is_done("a", SOURCE) && record.is_done("b", SOURCE));
        }
        let text = fs::read(&path).unwrap();
        assert!(text.starts_with(&whole) && !text.contains(&b'x'));
        // Torn in the first line.
        fs::write(&path, &whole[..9]).unwrap();
        assert!(!open(folder.path()).unwrap().is_done("a", SOURCE));
        assert_eq!(
            fs::read(&path)
                .unwrap()
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count(),
            1
        );
    }

    #[test]
    fn other_settings_and_damage_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap().done(&entry("a")).unwrap();
        let settings = json!({ "tau": 0.3, "seed": u64::MAX });
        let refused = Record::open(folder.path(), &settings, Durability::Unsynced);
        let message = refused.unwrap_err().to_string();
        assert!(
            message.contains("tau was 0.30000000000000004 and is now 0.3"),
            "{message}"
        );
        let path = folder.path().join(RECORD_NAME);
        let mut text = fs::read_to_string(&path).unwrap();
        text.insert_str(text.find('\n').unwrap() + 1, "{\"event\":\"done\"}\n");
        fs::write(&path, text).unwrap();
        assert!(matches!(
            open(folder.path()),
            Err(Error::Damaged { line: 2, .. })
        ));
        // Blank lines count as lines.
        let text = fs::read_to_string(&path).unwrap().replace('\n', "\n\n");
        fs::write(&path, text).unwrap();
        assert!(matches!(
            open(folder.path()),
            Err(Error::Damaged { line: 3, .. })
        ));
    }

    #[test]
    fn one_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let record = open(folder.path()).unwrap();
        if record.is_locked() {
            assert!(matches!(open(folder.path()), Err(Error::Locked(_))));
        }
        drop(record);
        open(folder.path()).unwrap();
    }
}
