//! Man pages, made from the definition of a command line: one for the program and one for each of
//! its commands.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Name of its file, for example `sextant-pack.1`.
    pub name: String,
    /// Its text (man(7)).
    pub roff: Vec<u8>,
}

/// What the pages say beyond the definition: sections with their paragraphs.
pub type Sections = &'static [(&'static str, &'static [&'static str])];

/// The further sections of sextant's pages.
pub const SEXTANT: Sections = &[
    (
        "EXIT STATUS",
        &[
            "0: done, and nothing was refused.",
            "1: something is refused or failed; the reason is on standard error.",
            "2: the command line is wrong.",
            "A reader of standard output that has seen enough and closes it is no failure.",
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            "SOURCE_DATE_EPOCH: time of every file in a package, in seconds since 1970; 0 if it is not set.",
            "NO_COLOR: no colours in help and errors of the command line.",
        ],
    ),
];

/// The pages of `command` and of its subcommands, each with `sections` at its end.
///
/// # Errors
///
/// The definition cannot be rendered.
pub fn pages(command: Command, sections: Sections) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    // Fills in what subcommands inherit, such as the names of their binaries.
    command.build();
    let mut pages = vec![page(&command, sections)?];
    for subcommand in command.get_subcommands() {
        pages.push(page(subcommand, sections)?);
    }
    Ok(pages)
}

fn page(command: &Command, sections: Sections) -> io::Result<Page> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let title = name.to_uppercase();
    // Without a date: the same definition gives the same page on any day.
    let man = Man::new(command.clone())
        .title(title)
        .date("")
        .source("Northstar")
        .manual("Northstar");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set())
    {
        man.render_options_section(&mut roff)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut roff)?;
    }
    let mut rest = Roff::default();
    for (section, paragraphs) in sections {
        rest.control("SH", [*section]);
        for paragraph in *paragraphs {
            rest.control("PP", []);
            rest.text([roman(*paragraph)]);
        }
    }
    rest.to_writer(&mut roff)?;
    Ok(Page {
        name: format!("{name}.1"),
        roff: once_at_the_top(&roff),
    })
}

/// Each part of a page comes with the definition of the apostrophe; one is enough.
fn once_at_the_top(roff: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(roff);
    let (preamble, rest): (Vec<&str>, Vec<&str>) = text
        .lines()
        .partition(|line| line.starts_with(".ie ") || line.starts_with(".el "));
    let mut page: Vec<&str> = preamble.into_iter().take(2).collect();
    page.extend(rest);
    page.push("");
    page.join("\n").into_bytes()
}
