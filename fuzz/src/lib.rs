//! What is asked of each parser, whatever it is given: no panic, and that what it accepts is what it says it is.
//!
//! One function for each of `fuzz_targets/`. The tests of the project include this file too, and replay the corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, PathBuf};
use std::{fmt, iter};

use inmerge_ckpt::checkpoint::{Dtype, Header, Tensor, WeightMap};
use inmerge_ckpt::fuzzing;
use inmerge_ckpt::layers::{Copies, Declared, Kind, Layers, METADATA_KEY, NamePattern, Selection};
use inmerge_ckpt::plan::{Cosine, Fraction, Partner, Percent, Plan, Threshold};
use inmerge_ckpt::sensitivity::{Shard, Sweep, Vary};
use inmerge_ckpt::settings::{PartialSettings, Settings};
use inmerge_ckpt::similarity::BackendRequest;
use safetensors::{SafeTensorError, SafeTensors};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

/// A target's name and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 15] = [
    ("header", header),
    ("torch", torch),
    ("pickle", pickle),
    ("index", index),
    ("plan", plan),
    ("settings", settings),
    ("order", order),
    ("layers", layers),
    ("metadata", metadata),
    ("journal", journal),
    ("sweep", sweep),
    ("record", record),
    ("report_files", report_files),
    ("flags", flags),
    ("patterns", patterns),
];

/// A checkpoint: the tensors fill the file without overlaps, and are those that the `safetensors` crate reads.
pub fn header(file: &[u8]) {
    let theirs = SafeTensors::deserialize(file);
    let ours = match Header::parse(file) {
        Ok(ours) => ours,
        Err(problem) => {
            let is_refused = theirs.is_err() || repeats_a_name(file);
            assert!(is_refused, "refused: {problem}");
            return;
        }
    };
    let mut end = ours.data_start;
    for tensor in &ours.tensors {
        assert_eq!(tensor.bytes.start, end);
        assert_eq!(
            tensor.bytes.len() * 8,
            tensor.elements() * tensor.dtype.bitsize()
        );
        end = tensor.bytes.end;
    }
    assert_eq!(end, file.len());
    let theirs = match theirs {
        Ok(theirs) => theirs,
        // It keeps unknown keys in memory, and so minds what stands in them.
        Err(SafeTensorError::InvalidHeaderDeserialization(_)) => return,
        Err(error) => panic!("accepted, though {error}"),
    };
    assert_eq!(ours.tensors.len(), theirs.len());
    for tensor in &ours.tensors {
        let view = theirs.tensor(&tensor.name).expect("the same names");
        assert_eq!(view.dtype(), tensor.dtype);
        assert_eq!(view.shape(), tensor.shape);
        assert_eq!(
            view.data().as_ptr_range(),
            file[tensor.bytes.clone()].as_ptr_range()
        );
    }
}

/// A file of `torch.save`: every tensor lies in the file, and those that can be merged hold their values alone and overlap with no
/// other that is not the same.
pub fn torch(file: &[u8]) {
    let Ok(tensors) = fuzzing::torch(file) else {
        return;
    };
    let mut merged: Vec<&Tensor> = Vec::new();
    let mut all_momentum: Vec<&Tensor> = Vec::new();
    for (tensor, momentum) in &tensors {
        assert!(tensor.bytes.start <= tensor.bytes.end && tensor.bytes.end <= file.len());
        assert!(
            momentum
                .iter()
                .all(|momentum| momentum.shape == tensor.shape)
        );
        all_momentum.extend(momentum);
        if tensor.is_view() {
            continue;
        }
        let bits = tensor.elements() * tensor.dtype.bitsize();
        assert_eq!(tensor.bytes.len() * 8, bits);
        if !tensor.bytes.is_empty() {
            merged.push(tensor);
        }
        let values = &file[tensor.bytes.clone()];
        assert_eq!(tensor.row_major(values).len(), values.len());
    }
    merged.sort_by_key(|tensor| tensor.bytes.start);
    for pair in merged.windows(2) {
        assert!(pair[0].bytes == pair[1].bytes || pair[0].bytes.end <= pair[1].bytes.start);
    }
    // Momentum is of one weight, and is none.
    merged.dedup_by_key(|tensor| tensor.bytes.start);
    all_momentum.retain(|momentum| !momentum.bytes.is_empty());
    merged.extend(all_momentum);
    merged.sort_by_key(|tensor| tensor.bytes.start);
    for pair in merged.windows(2) {
        assert!(pair[0].bytes.end <= pair[1].bytes.start);
    }
}

/// The same, of a pickle beside four storages.
pub fn pickle(instructions: &[u8]) {
    let storages = ["data/0", "data/1", "data/2", "data/3"];
    let storages = storages.map(|name| (name, &[0; 256][..]));
    let entries = [[("data.pkl", instructions)].as_slice(), &storages].concat();
    torch(&archive(&entries));
}

/// A zip archive of these entries without checksums.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let name = format!("a/{name}");
        let start = (file.len() as u32).to_le_bytes();
        let length = (data.len() as u32).to_le_bytes();
        let sizes = [[0; 4], length, length].concat();
        let name_length = (name.len() as u16).to_le_bytes();
        file.extend(
            [
                b"PK\x03\x04".as_slice(),
                &[0; 10],
                &sizes,
                &name_length,
                &[0; 2],
            ]
            .concat(),
        );
        file.extend([name.as_bytes(), data].concat());
        directory.extend(
            [
                b"PK\x01\x02".as_slice(),
                &[0; 12],
                &sizes,
                &name_length,
                &[0; 12],
            ]
            .concat(),
        );
        directory.extend([&start, name.as_bytes()].concat());
    }
    let count = [(entries.len() as u16).to_le_bytes(); 2].concat();
    let start = (file.len() as u32).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    file.extend(
        [
            b"PK\x05\x06".as_slice(),
            &[0; 4],
            &count,
            &length,
            &start,
            &[0; 2],
        ]
        .concat(),
    );
    file
}

/// Whether a header holds a name twice: the `safetensors` crate takes the last of them, whatever the others say.
fn repeats_a_name(file: &[u8]) -> bool {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = bool;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut names = BTreeSet::new();
            let mut is_repeated = false;
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                is_repeated |= !names.insert(name);
            }
            Ok(is_repeated)
        }
    }
    // The length is honest where the crate accepts the file.
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes"));
    let mut json = serde_json::Deserializer::from_slice(&file[8..8 + length as usize]);
    json.deserialize_map(Names).expect("an object")
}

/// The index of a sharded checkpoint: names of plain files only, and what a general parser of JSON finds there.
pub fn index(json: &[u8]) {
    let Ok(found) = WeightMap::parse(json) else {
        return;
    };
    assert!(!found.files.is_empty());
    for shard in found.shards() {
        let path = PathBuf::from(shard);
        assert_eq!(path.file_name(), Some(path.as_os_str()), "{shard:?}");
    }
    // It minds the numbers and the depth of what the index does not need.
    let Ok(value) = serde_json::from_slice::<Value>(json) else {
        return;
    };
    let files: BTreeMap<&str, Value> = found
        .files
        .iter()
        .map(|(tensor, file)| (tensor.as_str(), json!(**file)))
        .collect();
    assert_eq!(json!(files), value["weight_map"]);
    let total = found.total_size.map(|place| {
        let total = serde_json::from_slice::<Value>(&json[place]);
        total.expect("a value of its own")
    });
    assert_eq!(total.as_ref(), value["metadata"].get("total_size"));
}

/// A plan: the same once it is written and read.
pub fn plan(json: &[u8]) {
    let Ok(plan) = Plan::parse(json) else { return };
    let again = Plan::parse(&plan.to_json());
    assert_eq!(again.expect("a plan"), plan);
}

/// A configuration file: what it sets is in its range and what a run goes by.
pub fn settings(toml: &[u8]) {
    let Ok(file) = PartialSettings::parse(toml) else {
        return;
    };
    let (tau, alpha, tables) = (file.tau, file.alpha, file.layers.len());
    let Ok(settings) = Settings::resolve(PartialSettings::default(), file) else {
        return;
    };
    let parameters = &settings.parameters;
    assert!(tau.is_none_or(|tau| parameters.tau == tau));
    assert!(alpha.is_none_or(|alpha| parameters.alpha == alpha));
    let description = settings.description();
    assert_eq!(
        description["layer"].as_array().expect("a list").len(),
        tables
    );
    for name in NET.map(|(name, _)| name) {
        let own = settings.for_layer(iter::once(name));
        assert!((0.0..=1.0).contains(&own.alpha.get()) && (0.0..=1.0).contains(&own.prob.get()));
    }
    let _ = settings.check_tables(NET.iter().map(|(name, _)| *name));
}

/// A file for `--order`: names, and the same ones from a list of no more than these; and a net ordered by it.
pub fn order(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    let declared = Declared::from_order(text);
    let names = declared.layers().iter().map(|layer| layer.name.as_str());
    let mut plain = "#\n".to_owned();
    for name in names {
        assert!(!name.is_empty() && !name.starts_with('#') && name.trim() == name);
        plain += &format!("{name}\n");
    }
    assert_eq!(Declared::from_order(&plain), declared);
    check_depths(&BTreeMap::new(), Some(&declared));
}

/// A file for `--layers`: the same once it is written and read; and a net as it says.
pub fn layers(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    let Ok(declared) = Declared::from_json(text) else {
        return;
    };
    let written = serde_json::to_string(&declared).expect("plain data");
    let again = Declared::from_json(&written);
    assert_eq!(again.expect("a list"), declared);
    check_depths(&BTreeMap::new(), Some(&declared));
}

/// A list in a checkpoint's metadata: it says what it would say in a file.
pub fn metadata(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), text.to_owned())]);
    let found = Declared::from_metadata(&metadata);
    let declared = Declared::from_json(text);
    assert_eq!(found.is_ok(), declared.is_ok());
    let Ok(declared) = declared else { return };
    let by_metadata = check_depths(&metadata, None);
    let by_file = check_depths(&BTreeMap::new(), Some(&declared));
    assert_eq!(
        by_metadata.map(|found| found.layers),
        by_file.map(|found| found.layers)
    );
}

/// Tensors of every sort: convolutions, grouped, depthwise, transposed and pointwise ones, a copy, a gate, linear layers.
const NET: [(&str, &[usize]); 14] = [
    ("stem.weight", &[8, 3, 3, 3]),
    ("stem.bias", &[8]),
    ("norm.weight", &[8]),
    ("block.0.weight", &[8, 8, 3, 3]),
    ("block.1.weight", &[8, 8, 3, 3]),
    ("ema.block.1.weight", &[8, 8, 3, 3]),
    ("depthwise.weight", &[8, 1, 3, 3]),
    ("grouped.weight", &[8, 4, 3, 3]),
    ("gate.weight", &[8, 8, 1, 1]),
    ("up.weight", &[8, 4, 2, 2]),
    ("up.bias", &[4]),
    ("head.weight", &[2, 4, 1, 1]),
    ("volume.weight", &[4, 4, 3, 3, 3]),
    ("fc.weight", &[10, 8]),
];

/// The layers of [`NET`] by a list, if that fits it: each of a network has a place of its own, from 1.
fn check_depths(
    metadata: &BTreeMap<String, String>,
    declared: Option<&Declared>,
) -> Option<Layers> {
    let mut end = 0;
    let tensors = NET.map(|(name, shape)| {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        Tensor {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            shard: 0,
            bytes: start..end,
            arrangement: Default::default(),
        }
    });
    let selection = Selection {
        kinds: Kind::ALL.into(),
        ..Selection::default()
    };
    let found = Layers::of(&tensors, metadata, &Copies::none(), declared, &selection).ok()?;
    let mut depths: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for layer in &found.layers {
        let network = depths.entry(layer.network.as_deref()).or_default();
        network.extend(layer.depth);
    }
    for depths in depths.values() {
        assert!(depths.iter().copied().eq(1..=depths.len()), "{depths:?}");
    }
    Some(found)
}

/// The base of the sweep whose journal is read.
const BASE: &str = "0123456789abcdef";

/// A part of a sweep's journal: a torn end changes nothing, and the points are the same once they are written and read.
pub fn journal(text: &[u8]) {
    let Ok(points) = fuzzing::journal(text, BASE) else {
        return;
    };
    let lines = points
        .iter()
        .map(|point| json!({"base": BASE, "result": point}).to_string() + "\n");
    let mut written: String = lines.collect();
    written += "{\"base\":\"torn \u{e4}";
    let torn = &written.as_bytes()[..written.len() - 1];
    assert_eq!(fuzzing::journal(torn, BASE).expect("a journal"), points);
}

/// A sweep: the same once it is written and read, with the same base.
pub fn sweep(json: &[u8]) {
    let Ok(sweep) = Sweep::from_json(json) else {
        return;
    };
    let again = Sweep::from_json(&sweep.to_json()).expect("a sweep");
    assert_eq!(again, sweep);
    assert_eq!(again.difference(&sweep), None);
    for point in &sweep.points {
        let taking_part = sweep.taking_part(&point.variation);
        assert!(taking_part.count() <= sweep.layers.len());
        let _ = (point.variation.to_string(), point.variation.numbers());
    }
}

/// A watch's record: a torn end changes nothing, and what is done is the same once it is written and read.
pub fn record(text: &[u8]) {
    let Ok(done) = fuzzing::record(text) else {
        return;
    };
    let mut written =
        json!({"format": "inmerge-watch", "version": 1, "tool": "", "settings": {}}).to_string();
    for entry in done.values() {
        let mut line = json!(entry);
        line["event"] = json!("done");
        written += &format!("\n{line}");
    }
    written += "\n{\"event\":\"torn \u{e4}";
    let torn = &written.as_bytes()[..written.len() - 1];
    assert_eq!(fuzzing::record(torn).expect("a record"), done);
}

/// A report's list of its files: none leads out of the report's folder, and the list is the same once it is written and read.
pub fn report_files(list: &[u8]) {
    let (files, written) = fuzzing::report_files(list);
    for file in &files {
        let mut parts = file.components();
        assert!(
            parts.all(|part| matches!(part, Component::Normal(_))),
            "{file:?}"
        );
        assert!(!file.as_os_str().is_empty());
    }
    let (again, _) = fuzzing::report_files(written.as_bytes());
    assert_eq!(again, files);
}

/// Values of flags, one a line: what is accepted is in its range, and the same once it is written and read.
pub fn flags(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    text.lines().for_each(flag);
}

fn flag(text: &str) {
    macro_rules! same_again {
        ($($type:ty),*) => {$(
            if let Ok(value) = text.parse::<$type>() {
                let again = value.to_string().parse::<$type>();
                assert_eq!(again.expect("a value"), value);
            }
        )*};
    }
    same_again!(
        Fraction,
        Cosine,
        Percent,
        Threshold,
        Partner,
        BackendRequest
    );
    if let Ok(kind) = text.parse::<Kind>() {
        assert_eq!(kind.name(), text);
    }
    if let Ok(percent) = text.parse::<Percent>() {
        for count in [0, 1, 3000, usize::MAX] {
            assert!(percent.of(count) <= count);
        }
    }
    if let Ok(shard) = text.parse::<Shard>() {
        assert!(shard.of(0..20).count() <= 20);
    }
    if let Ok((one, other)) = fuzzing::grid(text) {
        assert!(text.contains(one.name()) && text.contains(other.name()));
    }
    if let Ok(limit) = fuzzing::time_limit(text) {
        assert!(limit.as_secs() > 0);
    }
    if let Ok(seconds) = fuzzing::seconds(text) {
        assert!((0.05..=86400.0).contains(&seconds.as_secs_f64()));
    }
    if let Ok(vary) = text.parse::<Vary>() {
        let values: Vec<f64> = match &vary {
            Vary::Layers(ways) => ways.iter().map(|_| 0.0).take(1).collect(),
            Vary::Tau(values) => values.iter().map(|tau| tau.number()).collect(),
            Vary::Alpha(values) | Vary::Prob(values) => {
                values.iter().map(|value| value.get()).collect()
            }
            Vary::SkipShallow(values) => values.iter().map(|&value| value as f64).collect(),
        };
        assert!((1..=10_000).contains(&values.len()));
        assert!(values.is_sorted());
        assert!(!vary.series().is_empty());
    }
}

/// A glob, then names, one a line: a glob of letters, `*` and `?` fits what the definition of these says.
pub fn patterns(text: &[u8]) {
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    let (glob, names) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pattern) = NamePattern::new("--include", glob) else {
        return;
    };
    let names: BTreeSet<&str> = names.lines().collect();
    let _ = pattern.require_match(names.iter().copied());
    let is_simple = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"*?.".contains(&byte))
    };
    if !is_simple(glob) || glob.contains("**") {
        return;
    }
    for name in names.into_iter().filter(|name| is_simple(name)) {
        let fits = fits(glob.as_bytes(), name.as_bytes());
        assert_eq!(pattern.matches(name), fits, "{glob:?}, {name:?}");
    }
}

/// Whether a name fits a glob of letters, `*` and `?`.
fn fits(glob: &[u8], name: &[u8]) -> bool {
    // By length of the glob's beginning, whether the name's beginning fits it.
    let mut fitting = vec![false; glob.len() + 1];
    fitting[0] = true;
    let pass_stars = |fitting: &mut Vec<bool>| {
        for place in 0..glob.len() {
            fitting[place + 1] |= fitting[place] && glob[place] == b'*';
        }
    };
    pass_stars(&mut fitting);
    for &letter in name {
        let mut next = vec![false; glob.len() + 1];
        for place in (0..glob.len()).filter(|&place| fitting[place]) {
            match glob[place] {
                b'*' => next[place] = true,
                known => next[place + 1] |= known == b'?' || known == letter,
            }
        }
        pass_stars(&mut next);
        fitting = next;
    }
    fitting[glob.len()]
}
