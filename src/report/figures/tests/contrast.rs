//! Text and marks are seen on what they stand on, in files and on the page in each of its modes. What the WCAG ask for:
//! 4.5 of text, and 3 of lines, dots and bars.

use std::collections::HashMap;

use plotters::style::RGBColor;

use crate::report::figures::colours::*;
use crate::report::figures::sensitivity::FAINT;
use crate::report::page::STYLE;

const TEXT: f64 = 4.5;
const MARKS: f64 = 3.0;

fn check(what: &str, colour: RGBColor, ground: RGBColor, least: f64) {
    let found = contrast(luminance(colour), luminance(ground));
    assert!(
        found >= least,
        "{what}: {} on {} has a contrast of {found:.2}, not {least}",
        hex(colour),
        hex(ground)
    );
}

/// A colour as it looks where it covers only so much of what is below.
fn covering(colour: RGBColor, share: f64, ground: RGBColor) -> RGBColor {
    let mix = |over: u8, below: u8| {
        (share * f64::from(over) + (1.0 - share) * f64::from(below)).round() as u8
    };
    RGBColor(
        mix(colour.0, ground.0),
        mix(colour.1, ground.1),
        mix(colour.2, ground.2),
    )
}

/// The colours of the page's variables, in its light mode, in its dark one and on paper.
fn modes() -> [(&'static str, HashMap<&'static str, RGBColor>); 3] {
    let blocks = STYLE.split(":root {").skip(1);
    let blocks: Vec<&str> = blocks.map(|rest| rest.split('}').next().unwrap()).collect();
    let [light, dark, print] = blocks[..] else {
        panic!("{} modes", blocks.len());
    };
    [("light", light), ("dark", dark), ("print", print)].map(|(mode, block)| {
        let declarations = block
            .split(';')
            .filter_map(|one| one.trim().split_once(':'));
        let colours = declarations.filter_map(|(name, value)| {
            let name = name.trim().strip_prefix("--")?;
            Some((name, parsed(value.trim().strip_prefix('#')?)))
        });
        (mode, colours.collect())
    })
}

fn parsed(digits: &str) -> RGBColor {
    let long: String = match digits.len() {
        3 => digits.chars().flat_map(|digit| [digit; 2]).collect(),
        _ => digits.to_owned(),
    };
    let part = |at: usize| u8::from_str_radix(&long[at..at + 2], 16).unwrap();
    RGBColor(part(0), part(2), part(4))
}

/// Steps between the ends of a scale.
fn shares() -> impl Iterator<Item = f64> {
    (0..=100).map(|step| f64::from(step) / 100.0)
}

#[test]
fn files_are_read_on_white() {
    for text in [INK, SOFT, ALARM] {
        check("text", text, PAPER, TEXT);
    }
    let faint = covering(ACCENT, FAINT, PAPER);
    for mark in [ACCENT, SECOND, MARK, APART, ALARM, faint] {
        check("mark", mark, PAPER, MARKS);
    }
    for share in shares() {
        check("depth", depth(share), PAPER, MARKS);
    }
}

#[test]
fn pages_are_read_in_each_mode() {
    for (mode, colours) in modes() {
        let named = |name: &str| colours[name];
        for ground in ["paper", "card"] {
            for text in ["ink", "soft", "accent", "warm", "merged"] {
                check(&format!("{mode}: {text}"), named(text), named(ground), TEXT);
            }
            for mark in ["accent", "second", "mark", "apart", "warm"] {
                check(
                    &format!("{mode}: {mark}"),
                    named(mark),
                    named(ground),
                    MARKS,
                );
            }
            let faint = covering(named("accent"), FAINT, named(ground));
            check(&format!("{mode}: faint"), faint, named(ground), MARKS);
            for share in shares() {
                check(
                    &format!("{mode}: depth"),
                    depth(share),
                    named(ground),
                    MARKS,
                );
            }
        }
        for (text, ground) in [
            ("ink", "accent-soft"),
            ("soft", "accent-soft"),
            ("ink", "warm-soft"),
            ("warm", "warm-soft"),
            ("merged", "merged-soft"),
        ] {
            check(&format!("{mode}: {text}"), named(text), named(ground), TEXT);
        }
    }
}

#[test]
fn numbers_are_read_on_cells_of_every_colour() {
    for share in shares() {
        for colour in [depth(share), cell(share)] {
            check("cell", text_on(colour), colour, TEXT);
        }
    }
    for colour in palette() {
        check("similarity", text_on(colour), colour, TEXT);
    }
}

#[test]
fn one_thing_has_one_colour_in_files_and_on_the_page() {
    let [(_, light), ..] = modes();
    for (colour, variable) in OF_PAGE {
        if colour != PAPER {
            assert_eq!(hex(colour), hex(light[variable]), "{variable}");
        }
    }
}
