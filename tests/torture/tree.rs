//! What is in a folder, in a form in which that of one run is that of another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Everything in a folder, by its path in there.
pub type Tree = BTreeMap<PathBuf, Node>;

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Folder {
        mode: u32,
    },
    Link(PathBuf),
    File {
        mode: u32,
        /// How many names it has.
        names: u64,
        content: Content,
    },
    Special,
}

/// What is in a file, but for times and for where the folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// Of a journal, to which lines are appended: each once, without those that tell of a failure.
    Lines {
        lines: BTreeSet<String>,
        /// Whether more follows that is no whole line.
        is_torn: bool,
    },
}

impl Node {
    /// Whether it is the same but for how many names it has, which is more in the middle of a replacement.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { mode, content, .. },
                Self::File {
                    mode: other_mode,
                    content: other,
                    ..
                },
            ) => mode == other_mode && content == other,
            _ => self == other,
        }
    }

    /// Whether it is the same but for its mode, and how many names it has.
    pub fn holds_the_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { content, .. }, Self::File { content: other, .. }) => content == other,
            (Self::Folder { .. }, Self::Folder { .. }) => true,
            _ => self == other,
        }
    }

    /// Whether it is a journal all of whose whole lines are in another.
    pub fn is_beginning_of(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File {
                    content: Content::Lines { lines, .. },
                    ..
                },
                Self::File {
                    content: Content::Lines { lines: all, .. },
                    ..
                },
            ) => lines.is_subset(all),
            _ => false,
        }
    }
}

/// What is at a path and below.
pub fn below(tree: &Tree, path: &Path) -> Tree {
    let within = tree.iter().filter(|(found, _)| found.starts_with(path));
    within
        .map(|(found, node)| {
            let rest = found.strip_prefix(path).expect("it starts so");
            (rest.to_owned(), node.clone())
        })
        .collect()
}

/// Whether two hold the same, however many names its files have.
pub fn are_alike(a: &Tree, b: &Tree) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((path, a), (other, b))| path == other && a.is_like(b))
}

/// Where two first differ.
pub fn difference(expected: &Tree, found: &Tree) -> Option<String> {
    let show = |path: &Path| path.display().to_string();
    let missing = expected.iter().find_map(|(path, node)| {
        let what = match found.get(path) {
            None => "is missing",
            Some(other) if other.is_like(node) => return None,
            Some(_) => "is another",
        };
        Some(format!("{} {what}", show(path)))
    });
    let surplus = || {
        let surplus = found.keys().find(|path| !expected.contains_key(*path));
        surplus.map(|path| format!("{} is too much", show(path)))
    };
    missing.or_else(surplus)
}

/// Everything in a folder.
pub fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let entries = fs::read_dir(folder.join(&inner)).expect("the folder can be listed");
        for entry in entries {
            let name = entry.expect("the folder can be listed").file_name();
            let path = inner.join(name);
            let node = node(folder, &folder.join(&path));
            if matches!(node, Node::Folder { .. }) {
                folders.push(path.clone());
            }
            tree.insert(path, node);
        }
    }
    tree
}

fn node(desk: &Path, path: &Path) -> Node {
    let status = fs::symlink_metadata(path).expect("it can be looked at");
    if status.is_symlink() {
        return Node::Link(fs::read_link(path).expect("it can be read"));
    }
    let mode = status.mode() & 0o7777;
    if status.is_dir() {
        return Node::Folder { mode };
    }
    if !status.is_file() {
        return Node::Special;
    }
    Node::File {
        mode,
        names: status.nlink(),
        content: content(desk, path),
    }
}

/// The name under which a desk appears in what is compared.
const DESK: &str = "DESK";

fn content(desk: &Path, path: &Path) -> Content {
    let bytes = fs::read(path).expect("it can be read");
    let ending = path.extension().and_then(|ending| ending.to_str());
    if !ending.is_some_and(|ending| ["json", "jsonl", "csv", "html"].contains(&ending)) {
        return Content::Bytes(bytes);
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Content::Bytes(bytes);
    };
    let text = text.replace(desk.to_str().expect("a path in UTF-8"), DESK);
    match ending {
        Some("jsonl") => lines(&text),
        Some("json") => Content::Bytes(timeless(&text).unwrap_or(text).into_bytes()),
        Some("csv") => Content::Bytes(timeless_table(&text).unwrap_or(text).into_bytes()),
        _ => Content::Bytes(text.into_bytes()),
    }
}

fn lines(text: &str) -> Content {
    let end = text.rfind('\n').map_or(0, |end| end + 1);
    let is_failure = |line: &&str| line.contains(r#""status":"failed""#);
    let lines = text[..end].lines().filter(|line| !is_failure(line));
    let lines = lines.map(|line| timeless(line).unwrap_or_else(|| line.to_owned()));
    Content::Lines {
        lines: lines.collect(),
        is_torn: end < text.len(),
    }
}

/// JSON without what depends on the time.
fn timeless(text: &str) -> Option<String> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !["seconds", "modified_ns"].contains(&&name[..]));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::from_str(text).ok()?;
    strip(&mut value);
    Some(value.to_string())
}

/// A table without its column of seconds.
fn timeless_table(text: &str) -> Option<String> {
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let rows: Result<Vec<csv::StringRecord>, _> = rows.records().collect();
    let rows = rows.ok()?;
    let seconds = rows.first()?.iter().position(|name| name == "seconds");
    let rows = rows.iter().map(|row| {
        let cells = row.iter().enumerate();
        let cells = cells.filter(|(column, _)| Some(*column) != seconds);
        let cells: Vec<&str> = cells.map(|(_, cell)| cell).collect();
        format!("{cells:?}\n")
    });
    Some(rows.collect())
}

/// Copies all that is in a folder into another, which is made. Where a file says where the folder is, the copy says where the
/// other one is.
pub fn copy(from: &Path, to: &Path) {
    copy_within(from, to, from, to);
}

fn copy_within(from: &Path, to: &Path, old: &Path, new: &Path) {
    fs::create_dir(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be listed") {
        let name = entry.expect("the folder can be listed").file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        let status = fs::symlink_metadata(&from).expect("it can be looked at");
        if status.is_dir() {
            copy_within(&from, &to, old, new);
        } else if status.is_symlink() {
            symlink(fs::read_link(&from).expect("it can be read"), &to)
                .expect("a link can be made");
        } else if from.extension().is_some_and(|ending| ending == "json") {
            let text = fs::read_to_string(&from).expect("JSON is UTF-8");
            let [old, new] = [old, new].map(|path| path.to_str().expect("a path in UTF-8"));
            fs::write(&to, text.replace(old, new)).expect("a file can be written");
        } else {
            fs::copy(&from, &to).expect("a file can be copied");
        }
    }
    let permissions = fs::metadata(from)
        .expect("it can be looked at")
        .permissions();
    fs::set_permissions(to, permissions).expect("it is ours");
}
