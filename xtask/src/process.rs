//! Running other programs: echo what is run, and turn a failure into an error that names the command.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs a command with inherited output after printing it.
///
/// # Errors
/// The program cannot be started, or ends with anything but exit code 0.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", display(command));
    run_quietly(command)
}

/// Like [`run`] without printing the command.
///
/// # Errors
/// As for [`run`].
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", display(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", display(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to stdout; stderr is inherited.
///
/// # Errors
/// As for [`run`], or the output is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", display(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", display(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} wrote something that is not UTF-8", display(command)))
}

/// The command as one would type it.
pub fn display(command: &Command) -> String {
    let mut words = vec![quote(command.get_program())];
    words.extend(command.get_args().map(quote));
    words.join(" ")
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The path of a program, searched in `PATH` and in the folders of system administration, which
/// Debian leaves out of the `PATH` of ordinary users.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of /proc/self is the effective user of this process (proc(5)).
    Path::new("/proc/self")
        .metadata()
        .is_ok_and(|metadata| metadata.uid() == 0)
}

/// A command that runs as root: as it is for root, through `sudo -E` for anybody else.
///
/// # Errors
/// This process is not root, and there is no `sudo`.
pub fn privileged(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let sudo = find("sudo").context("this needs root, and there is no sudo on this machine")?;
    let mut command = Command::new(sudo);
    command.arg("-E").arg(program);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("printf");
        command.args(["%s", "two words", "it's", "", "a=b"]);
        assert_eq!(display(&command), r"printf %s 'two words' 'it'\''s' '' a=b");
    }

    #[test]
    fn programs_are_found_in_path_only() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
