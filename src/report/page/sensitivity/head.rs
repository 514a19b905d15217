//! What comes first: the checkpoint, what must not be overlooked, and the sweep in a few numbers.

use maud::{Markup, html};

use crate::report::TOOL;
use crate::report::printable;
use crate::report::sensitivity::labels::{self, NumberFormat};
use crate::report::sensitivity::{RECOMMENDED, sentences};
use crate::report::table::{bytes, count, counted};
use crate::sensitivity::{Measure, Results, Setting};

use super::super::summary::tile;
use super::super::text::{name, with_minus};

/// The checkpoint, the base settings, and how variants are scored.
pub fn facts(results: &Results) -> Markup {
    let sweep = &results.sweep;
    let base = labels::base(results, &[]);
    html! {
        p.overline { "Sensitivity to merging" span.tool { (TOOL) } }
        h1 { (name(&sweep.source.file)) }
        ul.facts {
            li { (bytes(sweep.source.bytes)) }
            li { (counted(sweep.layers.len() as u64, "layer")) " that can take part" }
            li title=(sweep.content_sha256) { "content " code { (sweep.content_sha256.get(..12).unwrap_or_default()) } }
        }
        p.mode {
            "Base settings: "
            @for (place, setting) in base.iter().enumerate() { @if place > 0 { ", " } b { (with_subscript(setting)) } }
            ", seed\u{a0}" b { (sweep.parameters.seed) } ". Each point varies what its figure is over; the rest stays."
        }
        @match &sweep.evaluator {
            Some(evaluator) => p.mode {
                "Scored by " code { (printable(&evaluator.command)) }
                @if let Some(metric) = &evaluator.metric { ", which prints " b { (printable(metric)) } }
                ", within " (counted(evaluator.seconds, "second")) " each. "
                @if evaluator.lower_is_better { "Less is better." } @else { "More is better, as " code { "--lower-is-better" } " was not given." }
            },
            None => p.mode {
                "No evaluator was given (" code { "--eval" } "): measures of the weights stand in for a score. They say how much \
                 changed, not what that does to the net."
            },
        }
    }
}

/// A setting, with the s of L_s as a subscript.
fn with_subscript(setting: &str) -> Markup {
    match setting.strip_prefix("L_s") {
        Some(rest) => html! { "L" sub { "s" } (rest) },
        None => html! { (setting) },
    }
}

/// What must not be overlooked.
pub fn warnings(results: &Results, failures: usize) -> Markup {
    let settings: Vec<Setting<'_>> = labels::settings(results).collect();
    let hollow: Vec<String> = settings
        .iter()
        .filter(|setting| setting.merged_nothing())
        .map(|setting| labels::setting(setting.variation))
        .collect();
    let mut warnings = Vec::new();
    if results.missing > 0 {
        warnings.push(format!(
            "The sweep is not finished: {} still to come. The same command goes on with them.",
            counted(results.missing as u64, "point")
        ));
    }
    if !hollow.is_empty() && hollow.len() == settings.len() {
        warnings.push(
            "Nothing merged at any setting: this sweep does not show that the net is robust to merging. Lower --tau, or give \
             it as a share such as 20%."
                .to_owned(),
        );
    } else if !hollow.is_empty() {
        warnings.push(format!(
            "Nothing merged at {} of {}, which figures show hollow: {}. What comes of them says nothing about merging.",
            hollow.len(),
            counted(settings.len() as u64, "setting"),
            labels::listed(&hollow, 12)
        ));
    }
    if failures > 0 {
        warnings.push(format!(
            "{} failed and {} left out of the means: see Failures below.",
            counted(failures as u64, "point"),
            if failures == 1 { "is" } else { "are" }
        ));
    }
    if results
        .measures()
        .iter()
        .all(|measure| results.baseline(*measure).is_none())
    {
        warnings.push("What the unmerged checkpoint comes to is not known.".to_owned());
    }
    html! {
        @if !warnings.is_empty() {
            ul.warnings aria-label="Warnings" {
                @for warning in &warnings { li { (printable(warning)) } }
            }
        }
    }
}

/// The merge to take, or why there is none.
pub fn recommendation(results: &Results) -> Markup {
    html! {
        @if let Some(sentences) = sentences(results) {
            section #recommendation aria-labelledby="recommendation-title" {
                h2 #recommendation-title { "Which merge?" }
                p.lead { (with_minus(printable(&sentences[0]).into_owned())) }
                @for sentence in &sentences[1..] { p.note { (printable(sentence)) } }
                @if results.recommendation().is_some() {
                    div.command { code { "inmerge-ckpt merge IN OUT --config " (RECOMMENDED) } }
                    p.note { "with " a href=(RECOMMENDED) { (RECOMMENDED) } " beside this page." }
                }
            }
        }
    }
}

/// Points, settings and kernels, and what the unmerged checkpoint comes to.
pub fn tiles(results: &Results, failures: usize) -> Markup {
    let total = results.points.len() + results.missing;
    let settings = labels::settings(results);
    let hollow = settings.filter(Setting::merged_nothing).count();
    let kernels: usize = results.sweep.layers.iter().map(|layer| layer.kernels).sum();
    html! {
        section.summary aria-label="Summary" {
            dl.tiles {
                (tile("Points finished", &count(results.points.len() as u64), html! { "of " (count(total as u64)) }))
                @for &measure in results.measures().iter().filter(|measure| is_telling(**measure)) {
                    @let baseline = results.baseline(measure);
                    @let written = NumberFormat::of(measure, baseline);
                    (tile(
                        "Unmerged",
                        &baseline.map_or_else(|| "\u{2013}".to_owned(), |level| with_minus(written.write(level))),
                        html! { (printable(&labels::measure(results, measure))) },
                    ))
                }
                (tile("Settings", &count(labels::settings(results).count() as u64), html! { "beside the unmerged checkpoint" }))
                (tile("Merged nothing", &count(hollow as u64), html! { "of these settings" }))
                (tile("Failed", &count(failures as u64), html! { "of the points" }))
                (tile("Kernels", &count(kernels as u64), html! { "in " (counted(results.sweep.layers.len() as u64, "layer")) }))
            }
        }
    }
}

/// Whether a measure of the unmerged checkpoint is other than 0 by what it is.
fn is_telling(measure: Measure) -> bool {
    !matches!(measure, Measure::MergedShare | Measure::RelativeChange)
}
