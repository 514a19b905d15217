//! `man`: the manual pages, made from what `--help` says.

use std::io;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::TOOL;
use crate::cli::{Cli, EXAMPLES, EXIT_CODES};
use crate::console::Console;
use crate::error::Error;

use super::Outcome;

/// The first heading, where the title has set all else: paragraphs are flush left and words whole, because the help has lists
/// that spaces align, and names that are copied.
const FIRST_HEADING: [&str; 2] = [".SH NAME", ".ad l\n.nh\n.SH NAME"];

pub(super) fn run(console: &Console<'_>) -> Result<Outcome, Error> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = String::new();
    write(&program, None, &mut pages)?;
    console.print(in_ascii(&pages).as_bytes())?;
    Ok(Outcome::Done)
}

/// Writes the page of a command, and those of the commands below it. Each begins with a comment that names its file, by which
/// `python/build.sh` splits them.
fn write(command: &clap::Command, above: Option<&str>, pages: &mut String) -> io::Result<()> {
    let page = Man::new(beginning(command)).source(TOOL);
    let file = page.get_filename();
    let mut text = Vec::new();
    page.render(&mut text)?;
    let [heading, flush_left] = FIRST_HEADING;
    let text = String::from_utf8_lossy(&text).replacen(heading, flush_left, 1);
    *pages += &format!(".\\\" {file}\n{text}{}", end(command, above).to_roff());
    let name = file.strip_suffix(".1");
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write(below, name, pages)?;
    }
    Ok(())
}

/// What a page begins with, up to the options. The version stands at its foot.
fn beginning(command: &clap::Command) -> clap::Command {
    command
        .clone()
        .subcommand_value_name("command")
        .subcommand_help_heading("COMMANDS")
        .after_long_help(None)
        .version(None)
}

/// What a page ends with: notes, examples, exit codes, and the page of the command above.
fn end(command: &clap::Command, above: Option<&str>) -> Roff {
    let mut page = Roff::new();
    // The program's own are the examples and exit codes.
    if let (Some(notes), Some(_)) = (command.get_after_long_help(), above) {
        page.control("SH", ["NOTES"]);
        write_notes(&notes.to_string(), &mut page);
    }
    let words = format!("{} ", command.get_bin_name().unwrap_or_default());
    let examples = EXAMPLES.lines().map(str::trim_start);
    let examples: Vec<&str> = examples.filter(|line| line.starts_with(&words)).collect();
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
        write_as_is(&examples, &mut page);
    }
    page.control("SH", ["EXIT STATUS"]);
    page.text([roman(EXIT_CODES)]);
    if let Some(above) = above {
        page.control("SH", ["SEE ALSO"]);
        page.text([bold(above), roman("(1)")]);
    }
    page
}

/// Writes paragraphs, of which those that are indented stay as they are.
fn write_notes(notes: &str, page: &mut Roff) {
    for paragraph in notes.split("\n\n") {
        page.control("PP", []);
        if paragraph.starts_with(' ') {
            write_as_is(&paragraph.lines().collect::<Vec<_>>(), page);
        } else {
            page.text([roman(paragraph)]);
        }
    }
}

/// Writes lines that are neither joined nor broken.
fn write_as_is(lines: &[&str], page: &mut Roff) {
    page.control("nf", []);
    for line in lines {
        page.text([roman(*line)]);
    }
    page.control("fi", []);
}

/// Other characters by their numbers, as roff takes them in any locale.
fn in_ascii(page: &str) -> String {
    let escaped = page.chars().map(|c| match c.is_ascii() {
        true => c.to_string(),
        false => format!("\\[u{:04X}]", u32::from(c)),
    });
    escaped.collect()
}
