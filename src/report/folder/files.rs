//! The list of the files that belong to a report.
//!
//! A report lists its files in `report.files`: a first line that says what the list is, then one path a line, sorted. All other
//! files in the folder are foreign. The list has only names: a file that was changed still belongs to the report.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use crate::atomic::{Entry, Inventory};
use crate::files::entry;

/// The name of the list.
pub(super) const LIST: &str = "report.files";

const TITLE: &str = "inmerge-ckpt report: its files, which go when another report takes its place";

/// The maximum size of a list, enough for some hundred thousand files.
const MAX_BYTES: u64 = 16 << 20;

/// The files of a report, by their paths in its folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Files {
    /// The files of a new report, which has only the list.
    pub fn new() -> Self {
        let mut files = Self::default();
        files.insert(LIST);
        files
    }

    /// The files of the report in a folder; none if there is no report.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let path = folder.join(LIST);
        // Reading anything but a file, such as a pipe, might never end.
        if !entry(&path)?.is_some_and(|status| status.is_file()) {
            return Ok(Self::default());
        }
        let mut text = Vec::new();
        File::open(path)?.take(MAX_BYTES).read_to_end(&mut text)?;
        Ok(Self::parse(&text))
    }

    /// The files on a list; none if it is not one. Ignores a last line without an end, because a list that was cut could end in
    /// the start of another file's name, and lines that are not UTF-8.
    pub fn parse(list: &[u8]) -> Self {
        let end = list.iter().rposition(|&byte| byte == b'\n');
        let lines = list[..end.unwrap_or(0)].split(|&byte| byte == b'\n');
        let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut files = Self::default();
        if lines.next() == Some(TITLE.as_bytes()) {
            for name in lines.filter_map(|line| str::from_utf8(line).ok()) {
                files.insert(name);
            }
        }
        files
    }

    /// Adds a file; `false` if it is already listed, or its name would lead out of the folder or not fit a line.
    pub fn insert(&mut self, name: &str) -> bool {
        let path = Path::new(name);
        let is_plain = |part| matches!(part, Component::Normal(_));
        // Comparing text: as paths, `a//b` and `a/b` are the same.
        let is_its_parts = path.components().collect::<PathBuf>().as_os_str() == name;
        if name.is_empty() || name.contains(['\n', '\r']) || !is_its_parts {
            return false;
        }
        if !path.components().all(is_plain) {
            return false;
        }
        let folders = path.ancestors().skip(1);
        let folders = folders.filter(|folder| !folder.as_os_str().is_empty());
        self.folders.extend(folders.map(Path::to_owned));
        self.files.insert(path.to_owned())
    }

    /// The text of the list.
    pub fn list(&self) -> String {
        let names = self.files.iter().map(|file| file.to_string_lossy());
        let mut list = TITLE.to_owned();
        for name in names {
            list.push('\n');
            list.push_str(&name);
        }
        list + "\n"
    }

    /// Adds the files to the inventory of the folder that is replaced. They are removed by name, even if they were changed.
    pub fn add_to(&self, inventory: &mut Inventory) {
        for file in &self.files {
            inventory.add(file.clone(), Entry::Replaced);
        }
    }

    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }

    /// The subfolders of the report that contain its files.
    pub fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new();
        for name in ["index.html", "figures/deep/μ \"1\".svg", "figures/a.svg"] {
            assert!(files.insert(name), "{name}");
            assert!(!files.insert(name), "{name}");
        }
        fs::write(folder.path().join(LIST), files.list()).unwrap();
        let read = Files::read(folder.path()).unwrap();
        assert_eq!(read.files(), files.files());
        assert_eq!(read.files().len(), 4);
        let folders = ["figures", "figures/deep"].map(PathBuf::from);
        assert!(read.folders().iter().eq(&folders));
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_files_of_a_report() {
        let mut files = Files::new();
        for name in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/../b",
            "./a",
            "a//b",
            "a/",
            "a\nb",
            "a\rb",
            LIST,
        ] {
            assert!(!files.insert(name), "{name:?}");
        }
        assert_eq!(files.files().len(), 1);
        assert!(files.folders().is_empty());
    }

    #[test]
    fn what_a_cut_or_foreign_line_says_does_not_count() {
        let mut files = Files::new();
        assert!(files.insert("figures/ab.svg") && files.insert("figures/\u{fc}.svg"));
        let whole = files.list().into_bytes();
        for end in 0..whole.len() {
            let cut = Files::parse(&whole[..end]);
            assert!(cut.files().is_subset(files.files()), "{end}");
        }
        assert_eq!(Files::parse(&whole).files(), files.files());
        let crlf = files.list().replace('\n', "\r\n");
        assert_eq!(Files::parse(crlf.as_bytes()).files(), files.files());
        let foreign = [whole.as_slice(), b"b\xff\nc\n"].concat();
        assert_eq!(Files::parse(&foreign).files().len(), 4);
    }

    #[test]
    fn what_is_no_list_lists_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(LIST);
        for text in ["", "index.html\n", "another program's\nindex.html\n"] {
            fs::write(&list, text).unwrap();
            assert!(Files::read(folder.path()).unwrap().files().is_empty());
        }
        let real = folder.path().join("real");
        fs::write(&real, format!("{TITLE}\nindex.html\n")).unwrap();
        fs::rename(&real, &list).unwrap();
        assert_eq!(Files::read(folder.path()).unwrap().files().len(), 1);
        fs::rename(&list, &real).unwrap();
        std::os::unix::fs::symlink(&real, &list).unwrap();
        assert!(Files::read(folder.path()).unwrap().files().is_empty());
    }
}
