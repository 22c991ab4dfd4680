//! The dynamic libraries of a program: which it needs, and where they are (ld.so(8)).
//!
//! A loader looks for a library where the program says (DT_RUNPATH, DT_RPATH), and then in directories
//! it was built with. These differ, but `/lib` is one of them everywhere, or `/lib64` where the loader
//! itself is there. So all libraries go to `/lib` of the image, and `/lib64` becomes a link to it if
//! that is where the loader belongs. What a program loads by itself with dlopen(3) cannot be known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use goblin::elf::Elf;

use crate::root::Root;

/// Where libraries go in the image.
const PLACE: &str = "/lib";
/// Where the loader belongs on some systems.
const PLACE_64: &str = "/lib64";
/// Lists the directories of this machine's loader, one in a line (ldconfig(8)).
const CONFIGURATION: &str = "/etc/ld.so.conf";
/// Directories that every loader looks through.
const SYSTEM: &[&str] = &["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"];
/// Directories of the image that are looked through.
const IMAGE: &[&str] = &["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// How deep files of [`CONFIGURATION`] may include each other.
const INCLUDES: usize = 8;

/// Why libraries cannot be found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibraryError {
    #[error("failed to read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not an ELF file", path.display())]
    Elf {
        path: PathBuf,
        source: goblin::error::Error,
    },
    #[error(
        "{} needs {name}, which is in none of {}: name its directory with --lib-dir, or lib-dirs in \
         Cargo.toml",
        needed_by.display(),
        searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        name: String,
        needed_by: PathBuf,
        searched: Vec<PathBuf>,
    },
}

/// What a program or library says about itself.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// The loader, if it has one.
    pub interpreter: Option<PathBuf>,
    needed: Vec<String>,
    /// DT_RUNPATH or DT_RPATH, with `$ORIGIN` replaced.
    search: Vec<PathBuf>,
    machine: Machine,
}

/// What has to be the same for a program and its libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    number: u16,
    is_64: bool,
    is_little_endian: bool,
}

impl Program {
    pub(crate) fn read(path: &Path) -> Result<Program, LibraryError> {
        let bytes = fs::read(path).map_err(|source| LibraryError::Read {
            path: path.to_owned(),
            source,
        })?;
        let elf = Elf::parse(&bytes).map_err(|source| LibraryError::Elf {
            path: path.to_owned(),
            source,
        })?;
        // DT_RPATH counts only where there is no DT_RUNPATH.
        let search = match elf.runpaths.is_empty() {
            true => &elf.rpaths,
            false => &elf.runpaths,
        };
        let origin = path.parent().unwrap_or(Path::new("/"));
        Ok(Program {
            path: path.to_owned(),
            interpreter: elf.interpreter.map(PathBuf::from),
            needed: elf
                .libraries
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
            search: search
                .iter()
                .flat_map(|paths| paths.split(':'))
                .filter(|path| !path.is_empty())
                .map(|path| expand(path, origin))
                .collect(),
            machine: Machine {
                number: elf.header.e_machine,
                is_64: elf.is_64,
                is_little_endian: elf.little_endian,
            },
        })
    }
}

fn expand(path: &str, origin: &Path) -> PathBuf {
    let origin = origin.to_string_lossy();
    path.replace("${ORIGIN}", &origin)
        .replace("$ORIGIN", &origin)
        .into()
}

/// The loader and libraries that go into an image.
#[derive(Debug)]
pub(crate) struct Libraries {
    /// By their place in the image.
    placed: BTreeMap<PathBuf, PathBuf>,
    link: bool,
}

impl Libraries {
    /// Finds everything that `program` needs and that is not in `root` already; `first` is looked
    /// through before the directories of this machine.
    pub(crate) fn resolve(
        program: &Program,
        root: &Root,
        first: &[PathBuf],
    ) -> Result<Libraries, LibraryError> {
        let search = Search::new(program.machine, root, first);
        let mut placed = BTreeMap::new();
        let mut known = BTreeSet::new();
        let mut open: VecDeque<Program> = VecDeque::new();
        let mut link = false;
        if let Some(loader) = &program.interpreter {
            let name = loader.file_name().unwrap_or_default().to_string_lossy();
            let found = search.find(&name, program, Some(loader))?;
            known.insert(name.into_owned());
            link = loader.starts_with(PLACE_64) && !root.contains(Path::new(PLACE_64));
            let place = match link {
                true => Path::new(PLACE).join(loader.file_name().unwrap_or_default()),
                false => loader.clone(),
            };
            if !root.contains(loader) && !root.contains(&place) {
                placed.insert(place, found.path.clone());
            }
            open.push_back(found);
        }
        let mut at_hand = Some(program);
        let mut current;
        while let Some(program) = at_hand {
            for name in &program.needed {
                if !known.insert(name.clone()) {
                    continue;
                }
                let found = search.find(name, program, None)?;
                if !found.path.starts_with(root.path()) {
                    placed.insert(Path::new(PLACE).join(name), found.path.clone());
                }
                open.push_back(found);
            }
            current = open.pop_front();
            at_hand = current.as_ref();
        }
        Ok(Libraries { placed, link })
    }

    /// Files of this machine and their places in the image.
    pub(crate) fn placed(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.placed
            .iter()
            .map(|(target, source)| (source.as_path(), target.as_path()))
    }

    /// A symbolic link that is needed, and what it points to.
    pub(crate) fn link(&self) -> Option<(&Path, &Path)> {
        self.link.then_some((Path::new(PLACE_64), Path::new("lib")))
    }
}

/// Where to look for libraries.
struct Search<'a> {
    machine: Machine,
    /// The image, which comes first.
    root: &'a Root,
    /// Directories of this machine.
    directories: Vec<PathBuf>,
}

impl<'a> Search<'a> {
    fn new(machine: Machine, root: &'a Root, first: &[PathBuf]) -> Search<'a> {
        let mut directories = first.to_vec();
        configured(Path::new(CONFIGURATION), &mut directories, INCLUDES);
        directories.extend(SYSTEM.iter().map(PathBuf::from));
        directories.retain(|directory| directory.is_dir());
        Search {
            machine,
            root,
            directories,
        }
    }

    /// Finds a library for the machine of the program; those for other machines are passed over, as the
    /// loader does.
    fn find(
        &self,
        name: &str,
        needed_by: &Program,
        exact: Option<&Path>,
    ) -> Result<Program, LibraryError> {
        let inside = IMAGE
            .iter()
            .map(|directory| Path::new(directory).join(name));
        let mut candidates: Vec<PathBuf> =
            inside.filter_map(|path| self.root.file(&path)).collect();
        let directories = needed_by.search.iter().chain(&self.directories);
        candidates.extend(directories.map(|directory| directory.join(name)));
        // The place the program itself names comes after the directories that were asked for.
        candidates.extend(exact.map(Path::to_owned));
        if name.contains('/') {
            candidates = vec![name.into()];
        }
        for candidate in candidates.iter().filter(|candidate| candidate.is_file()) {
            // A linker script may have the name of a library.
            if let Ok(found) = Program::read(candidate)
                && found.machine == self.machine
            {
                return Ok(found);
            }
        }
        Err(LibraryError::Missing {
            name: name.to_owned(),
            needed_by: needed_by.path.clone(),
            searched: needed_by
                .search
                .iter()
                .chain(&self.directories)
                .cloned()
                .collect(),
        })
    }
}

/// Adds the directories of a configuration file and those it includes. What cannot be read is not there:
/// the error comes when a library is missing.
fn configured(file: &Path, directories: &mut Vec<PathBuf>, depth: usize) {
    let Ok(text) = fs::read_to_string(file) else {
        return;
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        match line.strip_prefix("include ") {
            Some(pattern) if depth > 0 => {
                included(file, pattern.trim())
                    .iter()
                    .for_each(|file| configured(file, directories, depth - 1));
            }
            None if line.starts_with('/') => directories.push(line.into()),
            _ => {}
        }
    }
}

/// The files of a pattern such as `ld.so.conf.d/*.conf`, in their order.
fn included(file: &Path, pattern: &str) -> Vec<PathBuf> {
    let pattern = file.parent().unwrap_or(Path::new("/")).join(pattern);
    let found = glob::glob(&pattern.to_string_lossy());
    found.into_iter().flatten().flatten().collect()
}
