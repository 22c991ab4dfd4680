//! Holds the command line, the help, the man pages and the guide together.
//!
//! The pages are written with `UPDATE_DOCS=1 cargo test -p nstar documents`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, CommandFactory, Parser};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::{cli::Cli, failure::CODES};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn guide() -> String {
    fs::read_to_string(docs().join("nstar.md")).unwrap()
}

/// The definition with everything that verbs inherit.
fn definition() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The program and its verbs.
fn commands() -> Vec<Command> {
    let program = definition();
    let verbs: Vec<Command> = program.get_subcommands().cloned().collect();
    [vec![program], verbs].concat()
}

fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

fn page_name(command: &Command) -> String {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    format!("{name}.1")
}

/// A man page. What stands behind the options in the help becomes sections whose lines stay as they are.
fn page(command: &Command) -> String {
    let name = page_name(command);
    let man = Man::new(command.clone())
        .title(name.trim_end_matches(".1").to_uppercase())
        .date("")
        .source("Northstar")
        .manual("Northstar");
    let mut roff = Vec::new();
    man.render_title(&mut roff).unwrap();
    man.render_name_section(&mut roff).unwrap();
    man.render_synopsis_section(&mut roff).unwrap();
    man.render_description_section(&mut roff).unwrap();
    man.render_options_section(&mut roff).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut roff).unwrap();
    }
    let mut rest = Roff::default();
    let mut is_open = false;
    let after_help = command.get_after_help().map(ToString::to_string);
    for line in after_help.unwrap_or_default().lines() {
        match line.strip_suffix(':') {
            Some(title) if title.chars().all(char::is_alphabetic) || title == "Exit codes" => {
                section(&mut rest, &title.to_uppercase(), &mut is_open);
            }
            _ => {
                if !is_open {
                    section(&mut rest, "NOTES", &mut is_open);
                }
                rest.text([roman(line)]);
            }
        }
    }
    if is_open {
        rest.control("fi", []);
    }
    rest.to_writer(&mut roff).unwrap();
    // Each part comes with the definition of the apostrophe; one at the top is enough.
    let text = String::from_utf8(roff).unwrap();
    let is_definition = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let top = text.lines().filter(is_definition).take(2);
    let rest = text.lines().filter(|line| !is_definition(line));
    top.chain(rest)
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

fn section(roff: &mut Roff, title: &str, is_open: &mut bool) {
    if *is_open {
        roff.control("fi", []);
    }
    roff.control("SH", [title]);
    roff.control("nf", []);
    *is_open = true;
}

#[test]
fn man_pages_are_those_of_the_definition() {
    let directory = docs().join("man");
    let expected: BTreeMap<String, String> = commands()
        .iter()
        .map(|command| (page_name(command), page(command)))
        .collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        for (name, text) in &expected {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    let found: BTreeMap<String, String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("nstar"))
        .map(|name| {
            let text = fs::read_to_string(directory.join(&name)).unwrap();
            (name, text)
        })
        .collect();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, text) in &expected {
        assert_eq!(&found[name], text, "{name}: UPDATE_DOCS=1 writes it");
    }
}

#[test]
fn every_option_is_in_the_help_and_in_the_page() {
    for mut command in commands() {
        let help = command.render_long_help().to_string();
        let page = fs::read_to_string(docs().join("man").join(page_name(&command))).unwrap();
        let mut count = 0;
        for arg in shown(&command) {
            let names = match arg.get_long() {
                Some(long) => (
                    format!("--{long}"),
                    format!("\\-\\-{}", long.replace('-', "\\-")),
                ),
                None => {
                    let name = arg.get_value_names().unwrap()[0].to_string();
                    (name.clone(), name)
                }
            };
            assert!(
                help.contains(&names.0),
                "{}: {} in the help",
                command.get_name(),
                names.0
            );
            assert!(
                page.contains(&names.1),
                "{}: {} in the page",
                command.get_name(),
                names.1
            );
            assert!(
                arg.get_help().is_some() || arg.get_long_help().is_some(),
                "{arg}"
            );
            count += 1;
        }
        assert!(count > 4, "{}", command.get_name());
    }
}

/// The words of a command line, as a shell without variables takes them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The calls of nstar in a line of a shell, without what comes before and behind.
fn calls(line: &str) -> Vec<Vec<String>> {
    line.split(['|', '&', ';'])
        .filter_map(|part| {
            let (part, _) = part.split_once(" > ").unwrap_or((part, ""));
            let (part, _) = part.split_once(" #").unwrap_or((part, ""));
            let words = words(part);
            let at = words.iter().position(|word| word == "nstar")?;
            // `if nstar ..`, `NSTAR_URL=.. nstar ..`
            let is_call = words[..at]
                .iter()
                .all(|word| word.contains('=') || ["if", "!", "while"].contains(&word.as_str()));
            is_call.then(|| words[at..].to_vec())
        })
        .collect()
}

/// Asserts that every call of nstar in these lines can be read, and returns how many there are.
fn readable<'a>(lines: impl Iterator<Item = &'a str>) -> usize {
    let calls: Vec<_> = lines.flat_map(calls).collect();
    for call in &calls {
        // A token is base64; the variable that stands for it is not.
        let call = call.iter().map(|word| match word.as_str() {
            "$TOKEN" => format!("{}==", "A".repeat(54)),
            word => word.to_owned(),
        });
        let call: Vec<String> = call.collect();
        if let Err(error) = Cli::try_parse_from(&call)
            && error.use_stderr()
        {
            panic!("{call:?}: {error}");
        }
    }
    calls.len()
}

#[test]
fn every_example_can_be_read() {
    let mut count = 0;
    for command in commands() {
        let text = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        if let Some((_, examples)) = text.split_once("Examples:\n") {
            count += readable(examples.lines().map(str::trim));
        }
    }
    assert!(count > 25, "{count}");
    let guide = guide();
    let blocks = guide.split("```").skip(1).step_by(2);
    let count = readable(blocks.flat_map(str::lines));
    assert!(count > 25, "{count}");
}

#[test]
fn the_guide_has_every_verb_and_no_other_option() {
    let guide = guide();
    let commands = commands();
    for command in &commands[1..] {
        let name = command.get_name();
        assert!(guide.contains(&format!("nstar {name}")), "{name}");
    }
    let options: Vec<String> = commands
        .iter()
        .flat_map(|command| {
            shown(command)
                .filter_map(Arg::get_long)
                .map(|long| format!("--{long}"))
        })
        .collect();
    // The blocks are command lines, which another test reads.
    let prose: String = guide.split("```").step_by(2).collect();
    let text = prose.replace(['`', '(', ')', ',', '.', ':', ';', '\'', '='], " ");
    for word in text
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
    {
        assert!(
            word.trim_matches('-').is_empty() || options.iter().any(|o| o == word),
            "{word}"
        );
    }
}

#[test]
fn the_guide_has_the_exit_codes_of_the_program() {
    let guide = guide();
    let (_, table) = guide.split_once("## Exit codes\n").unwrap();
    let rows: Vec<(u8, String)> = table
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[1].replace('`', ""))
        })
        .collect();
    let expected = CODES.map(|(code, meaning)| (code, meaning.to_owned()));
    assert_eq!(rows, expected);
}

#[test]
fn lines_of_a_shell() {
    let expected = [["nstar", "stop", "app*"]].map(|words| words.map(str::to_owned).to_vec());
    assert_eq!(
        calls("if ! NSTAR_URL=x nstar stop 'app*' > /dev/null; then"),
        expected
    );
    assert_eq!(
        calls("strace -f ./nstar && echo nstar"),
        Vec::<Vec<String>>::new()
    );
}
