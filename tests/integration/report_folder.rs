//! The folder of a report: it appears whole, is replaced whole, and nothing of anybody else's is lost.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Mounted, skipped};
use inmerge_ckpt::atomic::{self, Durability};
use inmerge_ckpt::report::folder::{Error, Problem, ReportFolder};
use tempfile::TempDir;

/// The list of a report's files.
const LIST: &str = "report.files";

/// Writes a report of these files.
fn write(path: &Path, force: bool, files: &[(&str, &str)]) -> Result<(), Error> {
    let folder = ReportFolder::check(path, force)?;
    let draft = folder.begin()?;
    for (name, text) in files {
        draft.write(name, text.as_bytes())?;
    }
    let warnings = draft.publish(Durability::Unsynced)?;
    assert_eq!(warnings.len(), 0, "{warnings:?}");
    Ok(())
}

/// All that is below a folder, by path: the text of files, `-> target` of links, `/` for folders that are empty.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let status = fs::symlink_metadata(&path).unwrap();
        if status.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            found.insert(name, format!("-> {}", target.display()));
        } else if status.is_dir() {
            let inner = tree(&path);
            if inner.is_empty() {
                found.insert(name.clone(), "/".to_owned());
            }
            let inner = inner.into_iter();
            found.extend(inner.map(|(path, text)| (format!("{name}/{path}"), text)));
        } else if status.is_file() {
            found.insert(name, fs::read_to_string(&path).unwrap());
        } else {
            found.insert(name, "special".to_owned());
        }
    }
    found
}

/// As [`tree`], but the list; it must be there.
fn report(folder: &Path) -> BTreeMap<String, String> {
    let mut found = tree(folder);
    assert!(found.remove(LIST).is_some(), "{found:?}");
    found
}

fn files(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
    let expected = expected.iter();
    expected
        .map(|&(name, text)| (name.to_owned(), text.to_owned()))
        .collect()
}

/// What a folder holds by name, hidden or not.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Fails unless the path was refused, in a sentence that names it and says all of this.
fn refused(path: &Path, force: bool, says: &[&str]) -> Error {
    let error = ReportFolder::check(path, force).unwrap_err();
    says_all(&error, path, says);
    error
}

fn says_all(error: &Error, path: &Path, says: &[&str]) {
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("{}: ", path.display())),
        "{message}"
    );
    assert!(!message.contains('\n'), "{message}");
    for part in says {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

const FIRST: [(&str, &str); 3] = [
    ("index.html", "first"),
    ("figures/001-a.svg", "first a"),
    ("figures/002-b.svg", "first b"),
];

const SECOND: [(&str, &str); 3] = [
    ("index.html", "second"),
    ("figures/001-c.svg", "second c"),
    ("layers.csv", "second layers"),
];

#[test]
fn a_report_appears_with_the_folders_around_it_and_lists_its_files() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("reports/deep/net");
    let folder = ReportFolder::check(&path, false).unwrap();
    assert_eq!(folder.path(), path);
    assert_eq!(names(desk.path()).len(), 0);
    let draft = folder.begin().unwrap();
    for (name, text) in FIRST {
        draft.write(name, text.as_bytes()).unwrap();
    }
    assert!(!path.exists());
    let warnings = draft.publish(Durability::Synced).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(report(&path), files(&FIRST));
    assert_eq!(names(path.parent().unwrap()), ["net"]);
    let list = fs::read_to_string(path.join(LIST)).unwrap();
    let lines: Vec<&str> = list.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "figures/001-a.svg",
            "figures/002-b.svg",
            "index.html",
            "report.files"
        ]
    );
}

#[test]
fn of_a_report_that_is_replaced_nothing_stays() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    for durability in [Durability::Synced, Durability::Unsynced] {
        write(&path, false, &FIRST).unwrap();
        // A file that somebody changed or removed is no reason to stop.
        fs::write(path.join("index.html"), "edited").unwrap();
        fs::remove_file(path.join("figures/001-a.svg")).unwrap();
        let folder = ReportFolder::check(&path, false).unwrap();
        let draft = folder.begin().unwrap();
        for (name, text) in SECOND {
            draft.write(name, text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(path.join("index.html")).unwrap(), b"edited");
        assert!(draft.publish(durability).unwrap().is_empty());
        assert_eq!(report(&path), files(&SECOND));
        assert_eq!(names(desk.path()), ["net"]);
    }
    // With fewer folders than before.
    write(&path, false, &[("index.html", "third")]).unwrap();
    assert_eq!(names(&path), ["index.html", LIST]);
}

#[test]
fn an_empty_folder_is_taken() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o2750)).unwrap();
    write(&path, false, &FIRST).unwrap();
    assert_eq!(report(&path), files(&FIRST));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o2750);
}

#[test]
fn modes_follow_the_umask_or_the_folders_that_are_replaced() {
    let desk = TempDir::new().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let (other_folder, other_file) = (desk.path().join("folder"), desk.path().join("file"));
    fs::create_dir(&other_folder).unwrap();
    fs::write(&other_file, "").unwrap();
    let path = desk.path().join("a/net");
    write(&path, false, &FIRST).unwrap();
    for folder in ["a", "a/net", "a/net/figures"] {
        assert_eq!(
            mode(&desk.path().join(folder)),
            mode(&other_folder),
            "{folder}"
        );
    }
    for file in ["index.html", LIST, "figures/001-a.svg"] {
        assert_eq!(mode(&path.join(file)), mode(&other_file), "{file}");
    }

    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(path.join("figures"), Permissions::from_mode(0o711)).unwrap();
    let folder = ReportFolder::check(&path, false).unwrap();
    let draft = folder.begin().unwrap();
    let beside = names(&desk.path().join("a"));
    let hidden = beside.iter().find(|name| name.ends_with(".tmp")).unwrap();
    assert_eq!(mode(&desk.path().join("a").join(hidden)), 0o700);
    draft.write("figures/1.svg", b"").unwrap();
    draft.publish(Durability::Unsynced).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("figures")), 0o711);
}

#[test]
fn foreign_files_are_refused_by_name() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    let plain: &dyn Fn(&Path) = &|path| fs::write(path, "mine").unwrap();
    let folder: &dyn Fn(&Path) = &|path| fs::create_dir(path).unwrap();
    let link: &dyn Fn(&Path) = &|path| symlink("index.html", path).unwrap();
    let cases = [
        ("notes.txt", "notes.txt", plain),
        (".hidden", ".hidden", plain),
        ("figures/mine.svg", "figures/mine.svg", plain),
        ("drafts", "drafts/", folder),
        ("figures/drafts", "figures/drafts/", folder),
        ("link.html", "link.html", link),
    ];
    for (name, shown, make) in cases {
        write(&path, true, &FIRST).unwrap();
        make(&path.join(name));
        let before = tree(&path);
        let error = refused(
            &path,
            false,
            &[&format!("({shown})"), "--force", "another folder"],
        );
        assert!(matches!(*error.problem, Problem::Foreign { .. }), "{error}");
        assert_eq!(tree(&path), before);
        ReportFolder::check(&path, true).unwrap();
        fs::remove_dir_all(&path).unwrap();
    }
    // A folder that never was a report, and what another program calls by the name of the list.
    fs::create_dir(&path).unwrap();
    for number in 0..9 {
        fs::write(path.join(format!("{number}.svg")), "").unwrap();
    }
    refused(
        &path,
        false,
        &["(0.svg, 1.svg, 2.svg, 3.svg, 4.svg and 4 more)"],
    );
    fs::write(path.join(LIST), "0.svg\n1.svg\n").unwrap();
    refused(&path, false, &["and 5 more"]);
    assert_eq!(names(desk.path()), ["net"]);
}

#[test]
fn with_force_foreign_files_stay_beside_the_report() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    write(&path, false, &FIRST).unwrap();
    fs::create_dir_all(path.join("drafts/empty")).unwrap();
    for name in ["notes.txt", "figures/mine.svg", "drafts/1.txt"] {
        fs::write(path.join(name), "mine").unwrap();
    }
    symlink("nowhere", path.join("link")).unwrap();
    let inode = fs::metadata(path.join("notes.txt")).unwrap().ino();
    write(&path, true, &SECOND).unwrap();
    let mut expected = files(&SECOND);
    expected.extend(files(&[
        ("drafts/1.txt", "mine"),
        ("drafts/empty", "/"),
        ("figures/mine.svg", "mine"),
        ("link", "-> nowhere"),
        ("notes.txt", "mine"),
    ]));
    assert_eq!(report(&path), expected);
    let notes = fs::metadata(path.join("notes.txt")).unwrap();
    assert_eq!((notes.ino(), notes.nlink()), (inode, 1));
    assert_eq!(names(desk.path()), ["net"]);

    // They are as foreign as before; where the report has no folder by that name any more, too.
    refused(
        &path,
        false,
        &["drafts/, figures/mine.svg, link, notes.txt"],
    );
    write(&path, true, &[("index.html", "third")]).unwrap();
    assert_eq!(
        report(&path),
        files(&[
            ("drafts/1.txt", "mine"),
            ("drafts/empty", "/"),
            ("figures/mine.svg", "mine"),
            ("index.html", "third"),
            ("link", "-> nowhere"),
            ("notes.txt", "mine"),
        ])
    );
}

#[test]
fn with_force_a_folder_that_is_no_report_becomes_one() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    fs::create_dir_all(path.join("figures/deep")).unwrap();
    for name in ["figures/001-a.svg", "figures/deep/x", "figures/y"] {
        fs::write(path.join(name), "mine").unwrap();
    }
    write(&path, true, &FIRST).unwrap();
    let mut expected = files(&FIRST);
    expected.extend(files(&[("figures/deep/x", "mine"), ("figures/y", "mine")]));
    assert_eq!(report(&path), expected);
    refused(&path, false, &["(figures/deep/, figures/y)"]);
}

#[test]
fn what_comes_while_a_report_is_made_stays() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    for stands in [false, true] {
        if stands {
            write(&path, false, &FIRST).unwrap();
        }
        let folder = ReportFolder::check(&path, false).unwrap();
        let draft = folder.begin().unwrap();
        draft.write("index.html", b"second").unwrap();
        fs::create_dir_all(path.join("late")).unwrap();
        fs::write(path.join("late/file"), "mine").unwrap();
        draft.publish(Durability::Unsynced).unwrap();
        let expected = files(&[("index.html", "second"), ("late/file", "mine")]);
        assert_eq!(report(&path), expected);
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn foreign_entries_in_the_way_of_the_reports_files_stop_it() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    let fifo: &dyn Fn(&Path) = &|path| {
        let status = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(status.success());
    };
    let folder: &dyn Fn(&Path) = &|path| fs::create_dir(path).unwrap();
    let plain: &dyn Fn(&Path) = &|path| fs::write(path, "mine").unwrap();
    let link: &dyn Fn(&Path) = &|path| symlink("elsewhere", path).unwrap();
    let cases = [
        ("index.html", folder, "names that a report needs"),
        ("index.html", fifo, "names that a report needs"),
        ("index.html", plain, "names that a report needs"),
        ("layers.csv", link, "names that a report needs"),
        (LIST, plain, "names that a report needs"),
        ("figures", plain, "of another kind"),
        ("figures", link, "of another kind"),
    ];
    for (name, make, why) in cases {
        fs::create_dir(&path).unwrap();
        make(&path.join(name));
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let before = tree(&path);
        refused(&path, false, &[name]);
        let error = write(&path, true, &FIRST).unwrap_err();
        says_all(&error, &path, &[name, why, "elsewhere"]);
        assert_eq!(tree(&path), before);
        assert_eq!(names(desk.path()), ["net"]);
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn what_is_no_folder_is_refused_with_the_reason() {
    let desk = TempDir::new().unwrap();
    let path = |name: &str| desk.path().join(name);
    fs::write(path("file"), "mine").unwrap();
    fs::create_dir(path("real")).unwrap();
    symlink("real", path("link")).unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    for force in [false, true] {
        refused(&path("file"), force, &["is a file"]);
        refused(&path("file/"), force, &["is a file"]);
        refused(&path("link"), force, &["symbolic link"]);
        refused(&path("link/"), force, &["symbolic link"]);
        refused(&path("dangling"), force, &["symbolic link"]);
        refused(Path::new("/dev/null"), force, &["is a device"]);
        refused(&path("file/net"), force, &["/file is not a folder"]);
        refused(
            &path("dangling/a/net"),
            force,
            &["/dangling is not a folder"],
        );
        for nameless in [".", "..", "/", "", "real/..", "./"] {
            refused(
                Path::new(nameless),
                force,
                &["has no name", "by its own name"],
            );
        }
        // The tests run in the project's folder.
        let here = Path::new(".").canonicalize().unwrap();
        for folder in [&here, here.parent().unwrap()] {
            refused(folder, force, &["is the current folder or one around it"]);
        }
    }
    // A link to the folder around it is nobody's concern.
    write(&path("link/net"), false, &FIRST).unwrap();
    assert_eq!(report(&path("real/net")), files(&FIRST));
}

#[test]
fn paths_may_be_spelled_in_any_way() {
    let desk = TempDir::new().unwrap();
    let here = Path::new(".").canonicalize().unwrap();
    let mut relative: PathBuf = here.components().skip(1).map(|_| "..").collect();
    relative.push(
        desk.path()
            .canonicalize()
            .unwrap()
            .strip_prefix("/")
            .unwrap(),
    );
    assert!(relative.is_relative());
    let odd = OsStr::from_bytes(b"n\xfft \xce\xbc");
    let spellings = [
        desk.path().join("my reports/my net"),
        desk.path().join("slash/net/"),
        desk.path().join("dot/net/."),
        desk.path().join("missing/../up/net"),
        desk.path().join(odd).join(odd),
        relative.join("relative/net"),
        relative.join("relative/other/"),
    ];
    for path in &spellings {
        for files_written in [FIRST, SECOND] {
            write(path, false, &files_written).unwrap();
            assert_eq!(report(path), files(&files_written), "{}", path.display());
            let own: PathBuf = path.components().collect();
            let hidden = names(own.parent().unwrap());
            assert!(
                !hidden.iter().any(|name| name.starts_with('.')),
                "{hidden:?}"
            );
        }
    }
}

#[test]
fn names_that_lead_elsewhere_or_are_taken_are_no_files() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    let folder = ReportFolder::check(&path, false).unwrap();
    let draft = folder.begin().unwrap();
    draft.write("index.html", b"1").unwrap();
    for name in [
        "index.html",
        LIST,
        "../net2",
        "/tmp/x",
        "",
        "a/../../b",
        "a\nb",
    ] {
        let error = draft.write(name, b"2").unwrap_err();
        assert!(
            matches!(*error.problem, Problem::FileName { .. }),
            "{error}"
        );
    }
    let error = draft.write("index.html/x", b"2").unwrap_err();
    says_all(&error, &path.join("index.html/x"), &["cannot be written"]);
    drop(draft);
    assert_eq!(names(desk.path()).len(), 0);
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("reports/deep/net");
    let folder = ReportFolder::check(&path, false).unwrap();
    let draft = folder.begin().unwrap();
    draft.write("figures/1.svg", b"1").unwrap();
    assert!(path.parent().unwrap().is_dir());
    drop(draft);
    assert_eq!(names(desk.path()).len(), 0);

    // The folder around it stays if another run has come to use it.
    let draft = folder.begin().unwrap();
    write(&desk.path().join("reports/other"), false, &FIRST).unwrap();
    drop(draft);
    assert_eq!(names(&desk.path().join("reports")), ["other"]);

    write(&path, false, &FIRST).unwrap();
    let draft = folder.begin().unwrap();
    draft.write("index.html", b"lost").unwrap();
    drop(draft);
    assert_eq!(report(&path), files(&FIRST));
    assert_eq!(names(path.parent().unwrap()), ["net"]);
}

#[test]
fn a_place_that_changes_meanwhile_is_not_replaced_by_surprise() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("a/net");
    let makes: [(&dyn Fn(), &str); 2] = [
        (&|| fs::write(&path, "mine").unwrap(), "is a file"),
        (&|| symlink("/", &path).unwrap(), "symbolic link"),
    ];
    for (make, says) in makes {
        let folder = ReportFolder::check(&path, true).unwrap();
        let draft = folder.begin().unwrap();
        draft.write("index.html", b"1").unwrap();
        make();
        let before = tree(path.parent().unwrap()).remove("net");
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        says_all(&error, &path, &[says]);
        assert_eq!(tree(path.parent().unwrap()).remove("net"), before);
        assert_eq!(names(path.parent().unwrap()), ["net"]);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_the_report_that_was_there() {
    let Some(disk) = Mounted::tmpfs("size=256k") else {
        return;
    };
    let path = disk.0.path().join("net");
    let big = vec![0; 100 << 10];
    write(&path, false, &FIRST).unwrap();
    let folder = ReportFolder::check(&path, false).unwrap();
    let draft = folder.begin().unwrap();
    let written = (0..5).try_for_each(|number| draft.write(&format!("figures/{number}"), &big));
    let error = written.unwrap_err();
    assert!(error.path.starts_with(path.join("figures")), "{error}");
    says_all(
        &error,
        &error.path,
        &["no space left", "nothing was replaced"],
    );
    drop(draft);
    assert_eq!(report(&path), files(&FIRST));
    assert_eq!(names(disk.0.path()), ["net"]);

    // Where there is none left for the list only.
    let fresh = disk.0.path().join("reports/net");
    let folder = ReportFolder::check(&fresh, false).unwrap();
    let draft = folder.begin().unwrap();
    while draft.write("filling", &[]).is_ok() {}
    let mut number = 0;
    while draft.write(&format!("{number}"), &[0; 4096]).is_ok() {
        number += 1;
    }
    assert!(number > 10);
    let error = draft.publish(Durability::Synced).unwrap_err();
    says_all(&error, &fresh, &["no space left"]);
    assert_eq!(names(disk.0.path()), ["net"]);
}

#[test]
fn where_nothing_can_be_written_the_folder_is_named() {
    let Some(disk) = Mounted::tmpfs("size=1m") else {
        return;
    };
    let path = disk.0.path().join("net");
    write(&path, false, &FIRST).unwrap();
    // Where the disk itself is mounted, nothing can be exchanged.
    fs::remove_dir_all(&path).unwrap();
    let error = refused(disk.0.path(), true, &["a disk is mounted", "inside it"]);
    assert!(matches!(
        *error.problem,
        Problem::Output(atomic::Problem::Mount)
    ));
    write(&path, false, &FIRST).unwrap();
    let remounted = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(disk.0.path())
        .status();
    assert!(remounted.unwrap().success());
    refused(
        &path,
        false,
        &["read-only", "Read-only"].map(|_| "cannot be written"),
    );
    let fresh = disk.0.path().join("reports/net");
    let folder = ReportFolder::check(&fresh, false).unwrap();
    says_all(&folder.begin().unwrap_err(), &fresh, &["Read-only"]);
    assert_eq!(report(&path), files(&FIRST));
}

#[test]
fn a_report_from_which_nothing_may_be_removed_is_refused() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    for inner in ["", "figures"] {
        write(&path, false, &FIRST).unwrap();
        let protected = path.join(inner);
        fs::set_permissions(&protected, Permissions::from_mode(0o555)).unwrap();
        if File::create(protected.join("probe")).is_ok() {
            skipped("permissions do not bind root");
            return;
        }
        refused(&path, true, &["cannot be written", "Permission denied"]);
        fs::set_permissions(&protected, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(report(&path), files(&FIRST));
    }
}

#[test]
fn a_folder_bound_to_another_place_of_the_same_disk_is_refused() {
    let desk = TempDir::new().unwrap();
    let [path, source] = ["net", "source"].map(|name| desk.path().join(name));
    fs::create_dir(&path).unwrap();
    fs::create_dir(&source).unwrap();
    let mut mount = Command::new("mount");
    mount.arg("--bind").args([&source, &path]);
    let mounted = mount.stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skipped("no folder can be bound to another here, which takes root");
        return;
    }
    let checked = ReportFolder::check(&path, true);
    Command::new("umount").arg(&path).status().unwrap();
    says_all(&checked.unwrap_err(), &path, &["is mounted"]);
}

/// Runs one of the tests below that are no tests in a process of its own, to be killed.
fn child(test: &str, path: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .env("REPORT", path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by another test, which kills it"]
fn writes_reports_forever() {
    let Some(path) = std::env::var_os("REPORT").map(PathBuf::from) else {
        return;
    };
    for round in 0.. {
        write_generation(&path, round);
    }
}

/// Files of a report that all hold the same number.
fn write_generation(path: &Path, number: usize) {
    let folder = ReportFolder::check(path, true).unwrap();
    let draft = folder.begin().unwrap();
    let text = number.to_string();
    draft.write("index.html", text.as_bytes()).unwrap();
    for figure in 0..10 {
        let name = format!("figures/{number}-{figure}.svg");
        draft.write(&name, text.as_bytes()).unwrap();
    }
    draft.publish(Durability::Unsynced).unwrap();
}

/// The number in the files of a report, of which there must be all, and no others.
fn generation(folder: &Path) -> usize {
    let found = report(folder);
    let number: usize = found["index.html"].parse().unwrap();
    let texts =
        (0..10).map(|figure| (format!("figures/{number}-{figure}.svg"), number.to_string()));
    let mut expected: BTreeMap<String, String> = texts.collect();
    expected.insert("index.html".to_owned(), number.to_string());
    assert_eq!(found, expected);
    number
}

#[test]
fn a_run_that_is_killed_leaves_a_whole_report_and_what_the_next_one_removes() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    let (mut midway, mut whole) = (0, 0);
    for round in 0u64..60 {
        let before = names(desk.path());
        let mut child = child("report_folder::writes_reports_forever", &path);
        // From before it does anything, from when it does, or from its first report: how long that takes depends on the machine.
        let has_begun = || match round % 4 {
            1 => names(desk.path()) != before,
            3 => path.exists(),
            _ => true,
        };
        let start = Instant::now();
        while !has_begun() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "it writes nothing"
            );
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(
            2000 + 500 * round + 37 * (round * round % 11),
        ));
        child.kill().unwrap();
        child.wait().unwrap();
        if path.exists() {
            generation(&path);
            whole += 1;
        }
        midway += usize::from(names(desk.path()).iter().any(|name| name.starts_with('.')));
        if round % 10 == 9 {
            write_generation(&path, 7);
            assert_eq!(generation(&path), 7);
            assert_eq!(names(desk.path()), ["net"]);
            fs::remove_dir_all(&path).unwrap();
        }
    }
    assert!(midway > 5 && whole > 5, "{midway} midway, {whole} whole");
}

#[test]
fn a_reader_always_sees_a_whole_report() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    write_generation(&path, 0);
    let is_over = AtomicBool::new(false);
    let seen = AtomicUsize::new(0);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !is_over.load(Ordering::Relaxed) {
                // There is a report at any moment, and it is whole if it still is the one once it has been read.
                let open = File::open(&path).unwrap();
                let copy = copy_of(&open);
                let (own, now) = (open.metadata().unwrap(), fs::metadata(&path).unwrap());
                if let Some(copy) = copy
                    && own.ino() == now.ino()
                {
                    let found = generation(copy.path());
                    assert!(found >= last, "{found} after {last}");
                    last = found;
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for number in 1..=100 {
            write_generation(&path, number);
            // Now and then the reader is to be done.
            if number % 10 == 0 {
                let before = seen.load(Ordering::Relaxed);
                while seen.load(Ordering::Relaxed) == before && !reader.is_finished() {
                    thread::yield_now();
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert!(seen.into_inner() >= 10);
    assert_eq!(generation(&path), 100);
    assert_eq!(names(desk.path()), ["net"]);
}

/// What an open folder holds, wherever it is now; `None` where it is being removed.
fn copy_of(folder: &File) -> Option<TempDir> {
    use std::os::fd::AsRawFd;
    let from = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    let to = TempDir::new().unwrap();
    fs::create_dir(to.path().join("figures")).unwrap();
    for inner in ["", "figures"] {
        for entry in fs::read_dir(from.join(inner)).ok()? {
            let path = Path::new(inner).join(entry.ok()?.file_name());
            if path != Path::new("figures") {
                fs::copy(from.join(&path), to.path().join(&path)).ok()?;
            }
        }
    }
    Some(to)
}

#[test]
fn of_runs_at_once_one_wins_whole() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("reports/net");
    thread::scope(|scope| {
        for run in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..40 {
                    write_generation(path, run * 1000 + round);
                }
            });
        }
    });
    generation(&path);
    assert_eq!(names(&desk.path().join("reports")), ["net"]);
}

#[test]
fn runs_at_once_lose_no_foreign_file_and_mix_no_reports() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    write_generation(&path, 0);
    fs::create_dir(path.join("drafts")).unwrap();
    for name in ["notes.txt", "figures/mine.svg", "drafts/1.txt"] {
        fs::write(path.join(name), "mine").unwrap();
    }
    let (done, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for run in 0..3 {
            let (path, done, busy) = (&path, &done, &busy);
            scope.spawn(move || {
                for round in 0..30 {
                    let text = (run * 1000 + round).to_string();
                    let name = format!("figures/{text}.svg");
                    match write(path, true, &[("index.html", &text), (&name, &text)]) {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            assert!(matches!(*error.problem, Problem::Busy), "{error}");
                            busy.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
    });
    assert!(done.into_inner() >= 30, "{busy:?}");
    let mut found = report(&path);
    for name in ["notes.txt", "figures/mine.svg", "drafts/1.txt"] {
        assert_eq!(found.remove(name).as_deref(), Some("mine"), "{found:?}");
    }
    let text = &found["index.html"];
    let expected = [
        ("index.html", &text[..]),
        (&format!("figures/{text}.svg"), text),
    ];
    assert_eq!(found, files(&expected));
    assert_eq!(names(desk.path()), ["net"]);
}

#[test]
fn many_threads_write_at_once() {
    let desk = TempDir::new().unwrap();
    let path = desk.path().join("net");
    let folder = ReportFolder::check(&path, false).unwrap();
    let draft = folder.begin().unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let draft = &draft;
            scope.spawn(move || {
                for file in 0..100 {
                    let name = format!("figures/{file}/{thread}.svg");
                    draft.write(&name, name.as_bytes()).unwrap();
                }
            });
        }
    });
    draft.publish(Durability::Synced).unwrap();
    let found = report(&path);
    assert_eq!(found.len(), 800);
    assert!(found.iter().all(|(name, text)| name == text));
}
