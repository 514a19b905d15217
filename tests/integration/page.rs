//! The report's page, opened in a browser. Skipped, with a word, where none is installed.

mod browser;

use std::cmp::Ordering;
use std::path::Path;

use crate::common::{fixture, read_json, run, skipped};
use browser::Browser;
use inmerge_ckpt::report::figures::sensitivity;
use inmerge_ckpt::report::page::sensitivity_page;
use inmerge_ckpt::sensitivity::Results;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What every check uses inside the page.
const HELP: &str = r#"
    window.all = (selector, within = document) => [...within.querySelectorAll(selector)];
    window.number = (text) => Number(text.replaceAll(",", "").replace("\u2212", "-"));
    window.set = (id, value) => {
        const control = document.getElementById(id);
        control.value = value;
        for (const type of ["input", "change"]) control.dispatchEvent(new Event(type, { bubbles: true }));
    };
"#;

/// A report, and its page in a browser.
struct Opened {
    browser: Browser,
    report: Value,
    url: String,
    _folder: TempDir,
}

/// Makes a report of a fixture and opens its page; `None`, with a word, where there is no browser.
fn opened(width: u32) -> Option<Opened> {
    let Some(mut browser) = Browser::start() else {
        skipped("the report's page: no Chromium on PATH, and $CHROME names none");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    analyse(folder.path());
    let page = folder.path().join("report/index.html");
    browser.resize(width, 900);
    browser.open(&page);
    browser.evaluate(HELP);
    Some(Opened {
        browser,
        report: read_json(&folder.path().join("report/report.json")),
        url: format!("file://{}", page.display()),
        _folder: folder,
    })
}

/// Writes a report to `report` in a folder.
fn analyse(folder: &Path) {
    run(args![
        "analyze",
        fixture("checkpoints/demo.safetensors"),
        "--report",
        folder.join("report")
    ])
    .done();
}

#[test]
fn nothing_fails_and_no_request_leaves_the_file() {
    let Some(mut page) = opened(1600) else { return };
    let browser = &mut page.browser;
    browser.evaluate("all('details').forEach(details => details.open = true)");
    browser.evaluate("all('thead button').forEach(button => button.click())");
    browser.evaluate("set('tau', '-0.5'); set('filter', 'layer'); set('filter', '')");
    for media in ["print", "screen"] {
        for scheme in ["dark", "light"] {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            browser.call(
                "Emulation.setEmulatedMedia",
                json!({"media": media, "features": features}),
            );
            browser.call(
                "Page.captureScreenshot",
                json!({"captureBeyondViewport": true}),
            );
        }
    }
    browser.call("Page.printToPDF", json!({}));

    let requests = browser.events(&["Network.requestWillBeSent"]);
    let requested: Vec<&Value> = requests
        .iter()
        .map(|event| &event["params"]["request"]["url"])
        .filter(|url| !url.as_str().is_some_and(|url| url.starts_with("data:")))
        .collect();
    assert_eq!(requested, [&page.url]);
    let complaints = browser.events(&[
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
    ]);
    assert_eq!(complaints, [] as [Value; 0]);

    // That both would have been seen.
    browser.evaluate("new Image().src = 'https://example.invalid/'; console.error('seen')");
    browser.evaluate("new Promise(done => setTimeout(done, 200))");
    let seen = browser.events(&["Runtime.consoleAPICalled", "Log.entryAdded"]);
    assert!(
        seen.iter()
            .any(|event| event.to_string().contains("Content Security Policy")),
        "{seen:?}"
    );
    assert!(seen.iter().any(|event| event.to_string().contains("seen")));
}

/// The counts that the page shows.
const SHOWN: &str = r##"(() => {
    const net = (key) => [...new Set(all(`[data-net="${key}"]`).map((e) => e.textContent))];
    const live = (within) => ["kernels_above", "pairs_above"].map((key) =>
        number(within.querySelector(`[data-live="${key}"]`).textContent));
    return {
        kernels: net("kernels").map(number),
        pairs: net("pairs").map(number),
        share: net("share"),
        tau: net("tau").map(number),
        slider: Number(document.getElementById("tau").value),
        field: Number(document.getElementById("tau-number").value),
        command: document.getElementById("command").textContent,
        rows: all("#layer-table tbody tr").map(live),
        sections: all("details.layer").map(live),
    };
})()"##;

fn assert_shown(page: &mut Opened, place: usize, how: &str) {
    let shown = page.browser.evaluate(SHOWN);
    let report = &page.report;
    let tau = report["thresholds"][place].as_f64().unwrap();
    let net = &report["net"];
    let kernels = &net["kernels_above"][place];
    let share = 100.0 * kernels.as_f64().unwrap() / net["kernels"].as_f64().unwrap();
    let layers: Vec<Value> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| json!([layer["kernels_above"][place], layer["pairs_above"][place]]))
        .collect();
    assert!(!layers.is_empty());
    assert_eq!(shown["kernels"], json!([kernels]), "{how} {tau}");
    assert_eq!(
        shown["pairs"],
        json!([net["pairs_above"][place]]),
        "{how} {tau}"
    );
    assert_eq!(
        shown["share"],
        json!([format!("{share:.1}")]),
        "{how} {tau}"
    );
    for key in ["slider", "field"] {
        assert_eq!(shown[key].as_f64(), Some(tau), "{how} {tau}: {key}");
    }
    assert_eq!(shown["tau"][0].as_f64(), Some(tau), "{how} {tau}");
    assert_eq!(shown["rows"], Value::from(layers.clone()), "{how} {tau}");
    assert_eq!(shown["sections"], Value::from(layers), "{how} {tau}");
    let command = shown["command"].as_str().unwrap();
    assert!(command.contains(&format!("--tau {tau:.2}")), "{command}");
}

#[test]
fn the_counts_at_each_threshold_are_the_report_s() {
    let Some(mut page) = opened(1200) else { return };
    for place in [0, 1, 57, 99, 100, 101, 130, 142, 158, 175, 190, 199, 200] {
        let tau = page.report["thresholds"][place].clone();
        for control in ["tau", "tau-number"] {
            page.browser.evaluate(&format!("set('{control}', '0.33')"));
            page.browser.evaluate(&format!("set('{control}', '{tau}')"));
            assert_shown(&mut page, place, control);
        }
    }
    page.browser
        .evaluate("set('tau-number', '0.7'); set('tau-number', ''); set('tau-number', '7')");
    assert_shown(
        &mut page,
        200,
        "a number out of range is the end of the range:",
    );

    page.browser
        .evaluate("set('tau', '0.5'); document.getElementById('tau').focus()");
    page.browser.press("ArrowRight", 39);
    assert_shown(&mut page, 151, "the keyboard");

    let middle = "(() => { const box = document.querySelector('.plot').getBoundingClientRect(); \
                  return [box.left + box.width * 0.75, box.top + 20]; })()";
    page.browser
        .evaluate("document.getElementById('threshold').scrollIntoView()");
    let at = page.browser.evaluate(middle);
    for kind in ["mousePressed", "mouseReleased"] {
        page.browser.call(
            "Input.dispatchMouseEvent",
            json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}),
        );
    }
    assert_shown(&mut page, 150, "the chart");
}

/// Every header of a table clicked twice: how it was sorted, and the rows' keys with their first places.
const SORTED: &str = r##"(() => {
    const collator = new Intl.Collator("en", { numeric: true });
    return all("table.sortable").flatMap((table) => {
        const headers = [...table.tHead.rows[0].cells];
        const body = table.tBodies[0];
        const place = new Map([...body.rows].map((row, place) => [row, place]));
        return headers.flatMap((header, column) => [1, 2].map(() => {
            header.querySelector("button").click();
            const sort = header.dataset.sort;
            const keys = [...body.rows].map((row) => {
                const cell = row.cells[column];
                if (sort === "text") return cell.textContent;
                if (sort === "live") return number(cell.textContent);
                return cell.dataset.v === "" ? null : Number(cell.dataset.v);
            });
            const texts = [...new Set(keys)].filter((key) => typeof key === "string").sort(collator.compare);
            return {
                table: table.id,
                column: header.textContent,
                aria: headers.map((other) => other.getAttribute("aria-sort")),
                own: header.getAttribute("aria-sort"),
                keys: keys.map((key) => (typeof key === "string" ? texts.indexOf(key) : key)),
                places: [...body.rows].map((row) => place.get(row)),
                names: [...body.rows].map((row) => row.cells[1].querySelector("bdi").textContent),
            };
        }));
    });
})()"##;

#[test]
fn every_column_sorts_both_ways() {
    let Some(mut page) = opened(1600) else { return };
    page.browser.evaluate("set('tau', '0.5')");
    let sorted = page.browser.evaluate(SORTED);
    let sorted = sorted.as_array().unwrap();
    assert!(sorted.len() >= 2 * 12, "{} sorts", sorted.len());
    for pair in sorted.chunks(2) {
        let mut ways: Vec<&str> = pair
            .iter()
            .map(|sort| sort["own"].as_str().unwrap())
            .collect();
        ways.sort_unstable();
        assert_eq!(ways, ["ascending", "descending"], "{}", pair[0]["column"]);
    }
    for sort in sorted {
        let column = &sort["column"];
        let marked = sort["aria"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|aria| !aria.is_null());
        assert_eq!(marked.count(), 1, "{column}");
        let falling = sort["own"] == "descending";
        let keys = sort["keys"].as_array().unwrap();
        let places = sort["places"].as_array().unwrap();
        for (key, place) in keys.windows(2).zip(places.windows(2)) {
            let order = match (key[0].as_f64(), key[1].as_f64()) {
                (Some(a), Some(b)) if falling => b.total_cmp(&a),
                (Some(a), Some(b)) => a.total_cmp(&b),
                // What is missing comes last.
                (a, b) => a.is_none().cmp(&b.is_none()),
            };
            let stable = place[0].as_u64() < place[1].as_u64();
            assert!(
                order == Ordering::Less || (order == Ordering::Equal && stable),
                "{column} {}: {key:?} at {place:?}",
                sort["own"]
            );
        }
        let mut rows: Vec<u64> = places.iter().map(|place| place.as_u64().unwrap()).collect();
        rows.sort_unstable();
        assert!(
            rows.iter().copied().eq(0..rows.len() as u64),
            "{column} loses rows"
        );
    }

    // What is sorted by is what the report says, not only what the cells say.
    type Number = fn(&Value) -> &Value;
    let numbers: [(&str, Number); 5] = [
        ("kernels", |layer| &layer["kernels"]),
        ("max sim", |layer| &layer["max_similarity"]),
        ("median nearest", |layer| &layer["nearest_spread"]["median"]),
        ("kernels > τ", |layer| &layer["kernels_above"][150]),
        ("pairs > τ", |layer| &layer["pairs_above"][150]),
    ];
    for (column, key) in numbers {
        let mut layers: Vec<&Value> = page.report["layers"].as_array().unwrap().iter().collect();
        layers.sort_by(|a, b| {
            key(b)
                .as_f64()
                .unwrap()
                .total_cmp(&key(a).as_f64().unwrap())
        });
        let expected: Vec<&Value> = layers.into_iter().map(|layer| &layer["name"]).collect();
        let found = sorted
            .iter()
            .find(|sort| {
                sort["table"] == "layer-table"
                    && sort["column"] == column
                    && sort["own"] == "descending"
            })
            .unwrap_or_else(|| panic!("no column {column}"));
        assert_eq!(
            found["names"]
                .as_array()
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            expected,
            "{column}"
        );
    }
}

/// What is wider than the page, stands outside it or is cut off. What scrolls in a box of its own is none of these.
const MISPLACED: &str = r##"(() => {
    const width = document.documentElement.clientWidth;
    const described = (e) => `${e.tagName}.${e.getAttribute("class")} ${e.textContent.trim().slice(0, 40)}`;
    const found = [];
    if (document.scrollingElement.scrollWidth > width) found.push("the page scrolls sideways");
    // On a phone a drawing may be scrolled; elsewhere it is seen whole.
    const isCut = (drawing) => drawing.scrollWidth > drawing.clientWidth + 1;
    if (width >= 700) for (const drawing of all('.drawing')) if (isCut(drawing)) found.push("a drawing is cut off");
    for (const element of all("body *:not(svg *, script, .skip)")) {
        const style = getComputedStyle(element);
        const cuts = ["hidden", "clip"].includes(style.overflowX) || style.textOverflow !== "clip";
        if (cuts && element.scrollWidth > element.clientWidth + 1) found.push(`cut off: ${described(element)}`);
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
        if (!text || element.closest(".scroll, .drawing")) continue;
        const range = document.createRange();
        range.selectNodeContents(element);
        for (const box of range.getClientRects()) {
            if (box.width > 0 && (box.left < -0.5 || box.right > width + 0.5)) found.push(`outside: ${described(element)}`);
        }
    }
    return found;
})()"##;

/// Fails where anything is misplaced at one of these widths.
fn fits(browser: &mut Browser, widths: [u32; 4], state: &str) {
    for width in widths {
        browser.resize(width, 900);
        assert_eq!(browser.evaluate("innerWidth"), width);
        assert_eq!(
            browser.evaluate(MISPLACED),
            json!([]),
            "{width} pixels, {state}"
        );
    }
}

#[test]
fn the_page_fits_phones_and_wide_screens() {
    let Some(mut page) = opened(1600) else { return };
    let browser = &mut page.browser;
    for open in ["false", "true"] {
        browser.evaluate(&format!(
            "all('details.layer').forEach(details => {{ details.open = {open}; \
             details.style.contentVisibility = 'visible'; }})"
        ));
        fits(browser, [400, 700, 1000, 1600], &format!("open: {open}"));
    }
    // That it would have been seen.
    browser.evaluate("document.querySelector('h1').style.width = '2000px'; 0");
    assert_ne!(browser.evaluate(MISPLACED), json!([]));
}

#[test]
fn a_link_opens_its_section_and_the_filter_leaves_what_it_names() {
    let Some(mut page) = opened(1200) else { return };
    let layers = page.report["layers"].as_array().unwrap().clone();
    let browser = &mut page.browser;
    let open = "all('details.layer').map(details => details.open)";
    let mut expected = vec![false; layers.len()];
    assert_eq!(browser.evaluate(open), json!(expected));
    browser.evaluate("all('#layer-table tbody a')[1].click()");
    browser.evaluate("new Promise(done => setTimeout(done, 100))");
    expected[1] = true;
    assert_eq!(browser.evaluate(open), json!(expected));
    let box_of = "(() => { const top = (e) => e.getBoundingClientRect(); const bar = document.getElementById('bar'); \
                  return [top(all('details.layer')[1]).top, top(bar).bottom]; })()";
    let at = browser.evaluate(box_of);
    assert!(
        at[0].as_f64() >= at[1].as_f64(),
        "the bar covers the section: {at}"
    );

    let name = layers.last().unwrap()["name"].as_str().unwrap();
    let wanted = layers
        .iter()
        .filter(|layer| layer["name"].as_str().unwrap().contains(name));
    let wanted: Vec<&Value> = wanted.map(|layer| &layer["name"]).collect();
    browser.evaluate(&format!("set('filter', {})", json!(name.to_uppercase())));
    let shown = browser.evaluate(
        "all('#layer-table tbody tr').filter(row => row.offsetHeight > 0).map(row => row.cells[1].querySelector('bdi').textContent)",
    );
    assert_eq!(shown, json!(wanted));
}

/// A sweep over 60 layers with long names and some τ, twice each, of which some merged nothing and some failed.
fn swept() -> Results {
    let names: Vec<String> = (0..60)
        .map(|n| {
            format!(
                "backbone.features.denseblock{}.denselayer{n}.conv1.weight",
                n / 16
            )
        })
        .collect();
    let layers = names.iter().enumerate().map(|(place, name)| {
        json!({"name": name, "depth": place + 1, "kind": "conv", "groups": 1, "kernels": 64, "tau": 0.3, "alpha": 0.8, "prob": 0.3})
    });
    let scopes = names.iter().enumerate().map(|(place, name)| {
        (
            "layer",
            json!({"layers": {"label": name, "first": place + 1, "last": place + 1}}),
        )
    });
    let taus = (1..8).map(|tenth| ("tau", json!({"tau": f64::from(tenth) / 10.0})));
    let grid = (0..36).map(|n| {
        (
            "grid",
            json!({"alpha": f64::from(n % 6) / 5.0, "prob": f64::from(n / 6) / 5.0}),
        )
    });
    let settings = [("baseline", json!({}))]
        .into_iter()
        .chain(scopes)
        .chain(taus)
        .chain(grid);
    let points: Vec<Value> = settings
        .flat_map(|(series, set)| {
            [0, 1].map(
                |repeat| json!({"series": series, "set": set, "repeat": repeat, "seed": repeat}),
            )
        })
        .collect();
    let finished = points.iter().enumerate().map(|(place, point)| {
        let outcome = match place % 11 {
            10 => json!({"status": "failed", "why": "it ended with exit status 1", "output": format!("Traceback\n{}", "wide".repeat(400))}),
            n => json!({"status": "scored", "score": 0.9 - n as f64 / 70.0}),
        };
        let merged = if place % 17 < 3 { 0 } else { place % 17 };
        json!({
            "point": point,
            "merging": {"layers": 1, "kernels": 64, "merged": merged, "relative_change": merged as f64 / 900.0},
            "outcome": outcome,
            "seconds": 1.5
        })
    });
    let finished: Vec<Value> = finished.collect();
    let sweep = json!({
        "checkpoint": "/runs/epoch-12.safetensors",
        "source": {"file": "epoch-12.safetensors", "bytes": 46_807_480, "header_sha256": "0f3a"},
        "content_sha256": "c51b".repeat(16),
        "parameters": {"tau": 0.3, "alpha": 0.8, "prob": 0.3, "skip_shallow": 9, "partner": "eligible", "rounds": 1, "seed": 0},
        "allow_nonfinite": false,
        "layers": layers.collect::<Vec<Value>>(),
        "evaluator": {"command": format!("python eval.py --weights {{checkpoint}} --data {}", "x".repeat(200)), "metric": "auroc", "seconds": 60},
        "points": points
    });
    Results {
        sweep: serde_json::from_value(sweep).unwrap(),
        points: serde_json::from_value(Value::from(finished)).unwrap(),
        missing: 3,
    }
}

#[test]
fn the_page_of_a_sweep_fits_sorts_and_asks_for_nothing() {
    let Some(mut browser) = Browser::start() else {
        skipped("the page of a sweep: no Chromium on PATH, and $CHROME names none");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index.html");
    let results = swept();
    std::fs::write(&file, sensitivity_page(&results, &sensitivity(&results))).unwrap();
    browser.resize(1600, 900);
    browser.open(&file);
    browser.evaluate(HELP);
    for scheme in ["dark", "light"] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.call(
            "Emulation.setEmulatedMedia",
            json!({"media": "screen", "features": features}),
        );
        fits(&mut browser, [500, 700, 1000, 1600], scheme);
    }
    assert_eq!(browser.evaluate("all('.drawing svg').length"), 3);

    let sorted = browser.evaluate(SORTED);
    let sorted = sorted.as_array().unwrap();
    let of_score: Vec<&Value> = sorted
        .iter()
        .filter(|sort| sort["column"] == "auroc")
        .collect();
    assert_eq!(of_score.len(), 2, "a click for each way");
    for sort in of_score {
        let keys = sort["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 1 + 60 + 7 + 36);
        let numbers: Vec<f64> = keys.iter().filter_map(Value::as_f64).collect();
        let falling = sort["own"] == "descending";
        let in_order = |two: &[f64]| {
            if falling {
                two[0] >= two[1]
            } else {
                two[0] <= two[1]
            }
        };
        assert!(numbers.windows(2).all(in_order), "{numbers:?}");
        assert!(numbers.first() != numbers.last());
    }

    let requests = browser.events(&["Network.requestWillBeSent"]);
    let requested: Vec<&Value> = requests
        .iter()
        .map(|event| &event["params"]["request"]["url"])
        .filter(|url| !url.as_str().is_some_and(|url| url.starts_with("data:")))
        .collect();
    assert_eq!(requested, [&json!(format!("file://{}", file.display()))]);
    let complaints = browser.events(&[
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
    ]);
    assert_eq!(complaints, [] as [Value; 0]);
}
