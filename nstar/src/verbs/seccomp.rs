//! `seccomp`

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum, ValueHint};

use crate::{
    failure::Failure,
    output,
    seccomp::{Arch, Recorder, Recording, SeccompFailure, Wanted, known_call, learn, render},
};

/// Highest index of an argument of a system call.
const LAST_ARGUMENT: usize = 5;

/// Make the list of system calls of a manifest from recorded runs.
#[derive(Debug, Args)]
#[command(after_help = "\
A recording is what strace writes (-f, -ff, -o and most other options), or lines of the kernel log, the
journal or the audit log with records of type 1326. Several recordings are merged: a program does not
call everything in each run. The result is YAML for a manifest. Calls that are marked `# default` are
those that the profile `default` allows too; --profile default leaves them out.

To record a container from its first instruction, start it while strace follows the forker:
  strace -f -o app.strace -p \"$(pgrep -x northstar-fork)\" &
  nstar start --wait app
  nstar seccomp --program /app app.strace

Examples:
  strace -f -o app.strace ./app && nstar seccomp app.strace
  nstar seccomp --profile default run-*.strace
  nstar seccomp --args socket:0 --args ioctl:1 app.strace
  journalctl -k | nstar seccomp --profile default -")]
pub struct Seccomp {
    /// Start from a profile, and print only what it lacks.
    #[arg(short, long, value_enum, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// A list of its own, as scripts written for 0.9.x ask for it; that is what there is without --profile.
    #[arg(long, hide = true, conflicts_with = "profile")]
    no_default_profile: bool,
    /// Allow a call only with the recorded values of an argument, as socket:0 or ioctl:1; may be given for
    /// several calls.
    #[arg(short, long = "args", value_name = "CALL:INDEX", value_parser = wanted)]
    arguments: Vec<(String, usize)>,
    /// Leave out what comes before this program is executed, as the container's set-up. The recording has to
    /// be one file with all processes (strace -f).
    #[arg(long, value_name = "PATH")]
    program: Option<String>,
    /// Architecture of recordings with numbers instead of names [default: the one nstar runs on].
    #[arg(long, value_enum)]
    arch: Option<Arch>,
    /// The recordings; `-` for the standard input.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    recordings: Vec<PathBuf>,
}

/// A list that comes with the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// What ordinary programs need.
    Default,
}

fn wanted(text: &str) -> Result<(String, usize), String> {
    let (call, index) = text
        .split_once(':')
        .ok_or("CALL:INDEX is needed, as socket:0")?;
    if known_call(call).is_none() {
        return Err(format!("there is no system call `{call}`"));
    }
    match index.parse() {
        Ok(index) if index <= LAST_ARGUMENT => Ok((call.to_owned(), index)),
        _ => Err(format!("an index from 0 to {LAST_ARGUMENT} is needed")),
    }
}

impl Seccomp {
    pub fn run(&self) -> Result<(), Failure> {
        let wanted: Wanted = self.arguments.iter().cloned().collect();
        let mut recording = Recording::default();
        for path in &self.recordings {
            recording.merge(self.read(path, &wanted)?);
        }
        let learned = learn(&recording, &wanted, self.profile.is_some())?;
        learned.notes.iter().for_each(|note| output::remark(note));
        output::print(render(&learned).trim_end()).map(drop)
    }

    fn read(&self, path: &Path, wanted: &Wanted) -> Result<Recording, SeccompFailure> {
        let error = |source| SeccompFailure::Read {
            path: path.to_owned(),
            source,
        };
        let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(path).map_err(error)?))
        };
        let arch = self.arch.unwrap_or_else(Arch::native);
        let mut recorder = Recorder::new(arch, wanted, self.program.as_deref());
        let mut bytes = Vec::new();
        let mut number = 0_usize;
        // Names of files may be anything, so lines need not be UTF-8.
        while reader.read_until(b'\n', &mut bytes).map_err(error)? > 0 {
            number = number.saturating_add(1);
            let line = String::from_utf8_lossy(&bytes);
            recorder
                .line(&line)
                .map_err(|source| SeccompFailure::Line {
                    path: path.to_owned(),
                    line: number,
                    source,
                })?;
            bytes.clear();
        }
        let (recording, skipped, has_program) = recorder.end();
        if skipped > 0 {
            output::remark(&format!(
                "{}: {skipped} lines are no system calls",
                path.display()
            ));
        }
        match &self.program {
            Some(program) if !has_program => Err(SeccompFailure::NoProgram {
                path: path.to_owned(),
                program: program.clone(),
            }),
            _ if recording.calls.is_empty() => Err(SeccompFailure::Empty {
                path: path.to_owned(),
            }),
            _ => Ok(recording),
        }
    }
}
