//! Drafts, from begin to publish.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use super::files::DraftFile;
use super::*;
use crate::checkpoint::{PIECE_BYTES, Piece, Problem};

fn source(folder: &Path) -> Checkpoint {
    source_of(folder, &[&[1, 2, 3, 4]])
}

/// A checkpoint of tensors with these bytes.
fn source_of(folder: &Path, tensors: &[&[u8]]) -> Checkpoint {
    let mut end = 0;
    let entries = tensors.iter().zip('a'..).map(|(bytes, name)| {
        let (begin, length) = (end, bytes.len());
        end += length;
        format!(r#""{name}":{{"dtype":"I8","shape":[{length}],"data_offsets":[{begin},{end}]}}"#)
    });
    let json = format!("{{{}}}", entries.collect::<Vec<_>>().join(","));
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.extend(tensors.concat());
    let path = folder.join("in.safetensors");
    fs::write(&path, bytes).unwrap();
    Checkpoint::open(&path).unwrap()
}

/// A draft of the source with these bytes in the place of its values' from `at` on.
fn changed<'a>(
    source: &'a Checkpoint,
    destination: &'a Destination,
    at: usize,
    bytes: &[u8],
) -> Draft<'a> {
    let mut draft = Draft::begin(source, destination).unwrap();
    let tensor = &source.tensors()[0];
    let work = |sink: &Sink<'_>| {
        let mut buffer = sink.buffer();
        buffer.extend_from_slice(bytes);
        sink.write([(0, tensor.bytes.start + at)], buffer);
        Ok::<_, Error>(())
    };
    draft
        .write_while(Fill::First, &[tensor], &(), work)
        .unwrap();
    draft
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
    drop(changed(&source, &out, 1, &[9]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_published_draft_differs_in_the_changed_bytes_only() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
    let at = source.tensors()[0].bytes.start + 1;
    let draft = changed(&source, &out, 1, &[9]);
    draft.publish(Durability::Synced).unwrap();
    let mut expected = fs::read(folder.path().join("in.safetensors")).unwrap();
    expected[at] = 9;
    assert_eq!(fs::read(out.path()).unwrap(), expected);
}

#[test]
fn changes_stay_whether_copying_is_ahead_of_them_or_behind() {
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..11u32 << 20)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let source = source_of(
        folder.path(),
        &[&noise[..9 << 20], &noise, &[5; 17], &noise],
    );
    let file = fs::read(source.path()).unwrap();
    // Across two of the pieces in which the file is copied, then from the last to the first, and across three of them.
    let changes = [
        (3 * COPIED_BEFORE_A_CHANGE - 1000, 2000),
        (file.len() - 3, 3),
        (COPIED_BEFORE_A_CHANGE - 1, COPIED_BEFORE_A_CHANGE + 2),
        (source.tensors()[0].bytes.start, PIECE_BYTES),
    ];
    for fill in [Fill::First, Fill::Between] {
        let out = Destination::check(&source, &folder.path().join("out"), true).unwrap();
        let mut draft = Draft::begin(&source, &out).unwrap();
        // Where layers are written as a whole, these tensors are all that is written.
        let tensors: Vec<&Tensor> = match fill {
            Fill::First => source.tensors().iter().collect(),
            Fill::Between => vec![&source.tensors()[1], &source.tensors()[3]],
        };
        let mut expected = file.clone();
        let work = |sink: &Sink<'_>| {
            let mut write = |start: usize, length: usize| {
                let mut buffer = sink.buffer();
                let range = start..start + length;
                expected[range.clone()].fill(77);
                buffer.extend_from_slice(&expected[range]);
                sink.write([(0, start)], buffer);
            };
            match fill {
                Fill::First => changes
                    .iter()
                    .for_each(|&(start, length)| write(start, length)),
                Fill::Between => {
                    let last = &tensors[1].bytes;
                    for start in last.clone().step_by(PIECE_BYTES) {
                        write(start, PIECE_BYTES.min(last.end - start));
                    }
                    sink.copy(Piece::of(tensors[0]));
                }
            }
            Ok::<_, Error>(())
        };
        draft.write_while(fill, &tensors, &(), work).unwrap();
        draft.publish(Durability::Unsynced).unwrap();
        assert!(fs::read(out.path()).unwrap() == expected, "{fill:?}");
    }
}

#[test]
fn the_same_bytes_may_go_to_several_places() {
    let folder = tempfile::tempdir().unwrap();
    let source = source_of(folder.path(), &[&[1; 9], &[2; 9], &[3; 9]]);
    let starts = source.tensors().iter().map(|tensor| tensor.bytes.start);
    let places: Vec<usize> = starts.map(|start| start + 4).collect();
    let mut expected = fs::read(source.path()).unwrap();
    for place in [places[0], places[2]] {
        expected[place..place + 2].fill(8);
    }
    for (number, fill) in [Fill::First, Fill::Between].into_iter().enumerate() {
        let out = folder.path().join(number.to_string());
        let out = Destination::check(&source, &out, false).unwrap();
        let draft = |lost: Option<usize>| {
            let mut draft = Draft::begin(&source, &out).unwrap();
            let work = |sink: &Sink<'_>| {
                let mut buffer = sink.buffer();
                buffer.extend_from_slice(&[8, 8]);
                sink.write([(0, places[0]), (0, places[2])], buffer);
                Ok::<_, Error>(())
            };
            draft.write_while(fill, &[], &(), work).unwrap();
            let DraftFile::New { file, .. } = &draft.files.files[0] else {
                panic!("a file that is written is a new one");
            };
            if let Some(lost) = lost {
                file.as_file().write_all_at(&[7], lost as u64).unwrap();
            }
            draft.publish(Durability::Unsynced)
        };
        for lost in [places[0], places[2]] {
            let error = draft(Some(lost)).unwrap_err();
            assert!(matches!(*error.problem, Problem::ReadBackDiffers { .. }));
        }
        draft(None).unwrap();
        assert_eq!(fs::read(out.path()).unwrap(), expected, "{fill:?}");
    }
}

#[test]
fn bytes_lost_between_writing_and_reading_back_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
    let at = source.tensors()[0].bytes.start as u64;
    let draft = changed(&source, &out, 0, &[9, 9]);
    let DraftFile::New { file, .. } = &draft.files.files[0] else {
        panic!("a file that is written is a new one");
    };
    file.as_file().write_all_at(&[7], at).unwrap();
    let error = draft.publish(Durability::Unsynced).unwrap_err();
    assert!(matches!(*error.problem, Problem::ReadBackDiffers { at: found } if found == at));
    assert!(!out.path().exists());
}

#[test]
fn a_source_that_changes_meanwhile_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
    let draft = changed(&source, &out, 0, &[]);
    let writer = File::options().append(true).open(source.path()).unwrap();
    writer.set_len(source.size() + 1).unwrap();
    let error = draft.publish(Durability::Unsynced).unwrap_err();
    assert!(matches!(*error.problem, Problem::ChangedMeanwhile));
    assert!(!out.path().exists());
}

#[test]
fn a_source_that_is_cut_short_meanwhile_is_noticed_however_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let source = source_of(folder.path(), &[&[1; 50_000], &[2; 50_000]]);
    let tensor = &source.tensors()[1];
    let mut seen = 0;
    let values = source.with_values(tensor, |values| seen = values.len());
    values.unwrap();
    assert_eq!(seen, 50_000);
    let writer = File::options().write(true).open(source.path()).unwrap();
    writer.set_len(20_000).unwrap();
    // Mapped values read as zeros where they are missing, and are worth nothing then.
    let values = source.with_values(tensor, |values| values.iter().map(|&v| v as u64).sum());
    let short: Result<u64, Error> = values;
    let out = Destination::check(&source, &folder.path().join("out"), false).unwrap();
    let mut draft = Draft::begin(&source, &out).unwrap();
    let copied = draft.write_while(Fill::First, &[], &(), |_| Ok::<_, Error>(()));
    for error in [
        short.unwrap_err(),
        source.first_values(tensor, 10).unwrap_err(),
        copied.unwrap_err(),
    ] {
        assert!(
            matches!(*error.problem, Problem::ChangedMeanwhile),
            "{error}"
        );
        assert_eq!(error.file, source.path());
    }
    drop(draft);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_of_a_folder_that_are_replaced_meanwhile_are_noticed() {
    for name in ["in.safetensors", "x.safetensors.index.json"] {
        let folder = tempfile::tempdir().unwrap();
        let sharded = folder.path().join("sharded");
        fs::create_dir(&sharded).unwrap();
        drop(source(&sharded));
        let index = r#"{"weight_map": {"a": "in.safetensors"}}"#;
        fs::write(sharded.join("x.safetensors.index.json"), index).unwrap();
        let source = Checkpoint::open(&sharded).unwrap();
        let out = Destination::check(&source, &sharded, true).unwrap();
        let draft = changed(&source, &out, 0, &[9]);
        let fresh = folder.path().join("fresh");
        fs::copy(sharded.join(name), &fresh).unwrap();
        fs::rename(fresh, sharded.join(name)).unwrap();
        let error = draft.publish(Durability::Unsynced).unwrap_err();
        assert!(matches!(*error.problem, Problem::ChangedMeanwhile));
        assert_eq!(error.file, sharded.join(name));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn modes_follow_the_umask_or_the_replaced_file() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path());
    let reference = folder.path().join("reference");
    fs::write(&reference, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;

    let out = folder.path().join("out");
    let fresh = Destination::check(&source, &out, false).unwrap();
    changed(&source, &fresh, 0, &[])
        .publish(Durability::Unsynced)
        .unwrap();
    assert_eq!(mode(&out), mode(&reference));

    fs::set_permissions(&out, Permissions::from_mode(0o640)).unwrap();
    let again = Destination::check(&source, &out, true).unwrap();
    changed(&source, &again, 0, &[])
        .publish(Durability::Unsynced)
        .unwrap();
    assert_eq!(mode(&out), 0o640);
}
