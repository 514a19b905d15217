//! The journal of a sweep: one line for each finished point, written as soon as its result is known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic::or_here;
use crate::files;
use crate::json_lines;

use super::{Error, FinishedPoint, FolderLock, Shard};

/// A line of `points.jsonl`: a finished point.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// A digest of all that scores depend on except the points: runs with the same one share their points.
    base: String,
    /// The point, and what came of it.
    #[serde(rename = "result")]
    finished: FinishedPoint,
}

/// The part of a journal that one run writes.
#[derive(Debug)]
pub struct JournalPart {
    file: File,
    path: PathBuf,
    base: String,
}

fn failed<'p>(path: &'p Path, action: &'static str) -> impl FnOnce(io::Error) -> Error + 'p {
    move |error| Error::File {
        file: path.to_owned(),
        action,
        error,
    }
}

impl JournalPart {
    /// Opens the part for a run on all points or on a shard of a sweep with this base. Removes an unfinished line that a
    /// killed run left.
    ///
    /// # Errors
    ///
    /// If another run is at work on this part, or it cannot be written.
    pub fn open(lock: &FolderLock, shard: Option<Shard>, base: String) -> Result<Self, Error> {
        let path = lock.folder().join(match shard {
            None => "points.jsonl".to_owned(),
            Some(shard) => format!("points-{}.jsonl", shard.to_string().replace(' ', "-")),
        });
        let open = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path);
        let mut file = open.map_err(failed(&path, "cannot be opened"))?;
        // If the file system has no locks, the user must prevent concurrent runs.
        if files::is_locked(&file) == Some(true) {
            return Err(Error::Busy(path));
        }
        let mut text = Vec::new();
        let whole = file.read_to_end(&mut text).and_then(|_| {
            file.set_len(json_lines::complete(&text).len() as u64)?;
            file.seek(SeekFrom::End(0))
        });
        whole.map_err(failed(&path, "cannot be mended"))?;
        Ok(Self { file, path, base })
    }

    /// The sweep's folder.
    pub fn folder(&self) -> &Path {
        or_here(self.path.parent())
    }

    /// Creates an empty folder for the temporary files of a run on this part. Removes what a killed run left there.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn scratch(&self) -> Result<Scratch, Error> {
        let path = scratch_of(&self.path);
        let made = match files::remove_folder_and_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => files::create_folder(&path),
        };
        made.map_err(failed(&path, "cannot be made anew"))?;
        Ok(Scratch(path))
    }

    /// Appends the result of a point, and syncs it to the disk.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn append(&mut self, finished: &FinishedPoint) -> Result<(), Error> {
        let line = Line {
            base: self.base.clone(),
            finished: finished.clone(),
        };
        let mut json = serde_json::to_vec(&line).expect("plain data");
        json.push(b'\n');
        let written = self.file.write_all(&json);
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(failed(&self.path, "cannot be written"))
    }
}

/// The path of the scratch folder of a part.
fn scratch_of(part: &Path) -> PathBuf {
    let name = part.file_name().unwrap_or_default().to_string_lossy();
    part.with_file_name(format!(".{name}.scratch"))
}

/// Removes the scratch folders of all parts on which no run is at work, as far as possible. The lock prevents a run from
/// beginning meanwhile.
pub fn remove_abandoned_scratch(lock: &FolderLock) {
    for path in parts(lock.folder()).unwrap_or_default() {
        let scratch = scratch_of(&path);
        // NFS locks only files that are open for writing.
        if files::is_folder(&scratch).unwrap_or(false)
            && let Ok(part) = OpenOptions::new().append(true).open(&path)
            && files::is_locked(&part) == Some(false)
        {
            let _ = files::remove_folder_and_all(&scratch);
        }
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run removes what cannot be removed now.
        let _ = files::remove_folder_and_all(&self.0);
    }
}

/// Whether a run is at work on any part of a folder's journal.
///
/// # Errors
///
/// If a part cannot be listed or opened.
pub fn is_at_work(lock: &FolderLock) -> Result<bool, Error> {
    for path in parts(lock.folder())? {
        let part = File::open(&path).map_err(failed(&path, "cannot be opened"))?;
        if files::is_locked(&part) == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The paths of the parts of a folder's journal, sorted.
fn parts(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let names = files::names(folder).map_err(failed(folder, "cannot be read"))?;
    let mut parts: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    parts.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("points") && name.ends_with(".jsonl")
    });
    parts.sort();
    Ok(parts)
}

/// Reads all parts of a folder's journal, in the order of their names. If a point is there several times, the last that did not
/// fail counts.
///
/// # Errors
///
/// If a part cannot be read, or holds a line that is not a point, or is from a sweep with another base.
pub fn read(folder: &Path, base: &str) -> Result<Vec<FinishedPoint>, Error> {
    let mut points: Vec<FinishedPoint> = Vec::new();
    for path in parts(folder)? {
        let text = fs::read(&path).map_err(failed(&path, "cannot be read"))?;
        for point in parse(&path, &text, base)? {
            add(&mut points, point);
        }
    }
    Ok(points)
}

/// Parses the text of a part; the path is for errors.
pub(crate) fn parse(file: &Path, text: &[u8], base: &str) -> Result<Vec<FinishedPoint>, Error> {
    let points = json_lines::lines(text).map(|(number, line)| {
        let file = || file.to_owned();
        let line: Line = serde_json::from_slice(line).map_err(|error| Error::MalformedPoint {
            file: file(),
            line: number,
            error,
        })?;
        if line.base != base {
            return Err(Error::ForeignPoint {
                file: file(),
                line: number,
            });
        }
        Ok(line.finished)
    });
    points.collect()
}

fn add(points: &mut Vec<FinishedPoint>, new: FinishedPoint) {
    match points.iter_mut().find(|known| known.point == new.point) {
        Some(known) if new.has_failed() && !known.has_failed() => {}
        Some(known) => *known = new,
        None => points.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MergedAtPoint, Point, PointOutcome, Series, Variation};
    use super::*;

    fn finished(repeat: u32, score: Option<f64>) -> FinishedPoint {
        FinishedPoint {
            point: Point {
                series: Series::Baseline,
                variation: Variation::default(),
                repeat,
                seed: u64::MAX,
            },
            merging: MergedAtPoint {
                layers: 1,
                kernels: 8,
                merged: 2,
                relative_change: 0.1,
            },
            outcome: match score {
                Some(score) => PointOutcome::Scored {
                    score,
                    stderr: None,
                },
                None => PointOutcome::Failed {
                    why: "it printed nothing".to_owned(),
                    output: "a\nb \u{fc}".to_owned(),
                },
            },
            seconds: 0.5,
        }
    }

    fn open(folder: &Path, shard: Option<Shard>) -> Result<JournalPart, Error> {
        JournalPart::open(&FolderLock::acquire(folder), shard, "abc".to_owned())
    }

    #[test]
    fn what_is_appended_is_read_whichever_part_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        open(folder, None)
            .unwrap()
            .append(&finished(0, Some(0.1)))
            .unwrap();
        let mut part = open(folder, Some("2/3".parse().unwrap())).unwrap();
        part.append(&finished(1, None)).unwrap();
        part.append(&finished(2, Some(1e-300))).unwrap();
        assert!(folder.join("points-2-of-3.jsonl").is_file());
        let mut points = read(folder, "abc").unwrap();
        points.sort_by_key(|point| point.point.repeat);
        let expected = [
            finished(0, Some(0.1)),
            finished(1, None),
            finished(2, Some(1e-300)),
        ];
        assert_eq!(points, expected);
    }

    #[test]
    fn a_success_counts_more_than_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = open(folder.path(), None).unwrap();
        for score in [None, Some(0.5), None] {
            part.append(&finished(0, score)).unwrap();
        }
        assert_eq!(
            read(folder.path(), "abc").unwrap(),
            [finished(0, Some(0.5))]
        );
    }

    #[test]
    fn a_torn_line_is_passed_over_and_then_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = open(folder.path(), None).unwrap();
        part.append(&finished(0, Some(0.5))).unwrap();
        part.append(&finished(1, Some(0.5))).unwrap();
        drop(part);
        let path = folder.path().join("points.jsonl");
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|&byte| byte == b'\n').unwrap();
        for end in first + 1..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert_eq!(
                read(folder.path(), "abc").unwrap(),
                [finished(0, Some(0.5))]
            );
            let mut part = open(folder.path(), None).unwrap();
            part.append(&finished(1, Some(0.5))).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn a_line_torn_inside_a_character_is_passed_over_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = open(folder.path(), None).unwrap();
        part.append(&finished(0, Some(0.5))).unwrap();
        // Its output ends in a letter of two bytes.
        part.append(&finished(1, None)).unwrap();
        let path = folder.path().join("points.jsonl");
        let whole = fs::read(&path).unwrap();
        let letter = whole.iter().rposition(|&byte| byte == 0xc3).unwrap();
        fs::write(&path, &whole[..=letter]).unwrap();
        assert_eq!(
            read(folder.path(), "abc").unwrap(),
            [finished(0, Some(0.5))]
        );
    }

    #[test]
    fn a_whole_line_that_is_not_utf8_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = open(folder.path(), None).unwrap();
        part.append(&finished(0, Some(0.5))).unwrap();
        part.append(&finished(1, None)).unwrap();
        let path = folder.path().join("points.jsonl");
        let mut text = fs::read(&path).unwrap();
        let letter = text.iter().rposition(|&byte| byte == 0xc3).unwrap();
        text[letter] = b'x';
        fs::write(&path, text).unwrap();
        let refused = read(folder.path(), "abc").unwrap_err();
        assert!(matches!(refused, Error::MalformedPoint { file, line: 2, .. } if file == path));
    }

    #[test]
    fn other_sweeps_and_rubbish_are_named() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), None)
            .unwrap()
            .append(&finished(0, Some(0.5)))
            .unwrap();
        let other = read(folder.path(), "abd").unwrap_err();
        assert!(matches!(other, Error::ForeignPoint { line: 1, .. }));
        let path = folder.path().join("points-x.jsonl");
        fs::write(&path, "\n{}\n").unwrap();
        let rubbish = read(folder.path(), "abc").unwrap_err();
        assert!(matches!(rubbish, Error::MalformedPoint { file, line: 2, .. } if file == path));
    }

    #[test]
    fn two_runs_cannot_write_one_part() {
        let folder = tempfile::tempdir().unwrap();
        let part = open(folder.path(), None).unwrap();
        assert!(matches!(open(folder.path(), None), Err(Error::Busy(_))));
        assert!(is_at_work(&FolderLock::acquire(folder.path())).unwrap());
        drop(part);
        assert!(!is_at_work(&FolderLock::acquire(folder.path())).unwrap());
        open(folder.path(), None).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let part = open(folder.path(), None).unwrap();
        let scratch = part.scratch().unwrap();
        let left = scratch.path().join("left");
        fs::write(&left, "x").unwrap();
        std::mem::forget(scratch);
        let scratch = part.scratch().unwrap();
        assert!(!left.exists());
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
    }
}
