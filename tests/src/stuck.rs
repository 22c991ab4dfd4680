//! What a process that does not go on is doing, for the message of a failed assertion.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// One line for each thread of a process and of its descendants: what it waits for in the kernel, its system call, and its
/// stack there (proc(5): `wchan`, `syscall`, `stack`). What cannot be read is left out.
#[must_use]
pub fn threads_below(pid: u32) -> String {
    let mut text = String::new();
    let mut processes = vec![pid];
    while let Some(pid) = processes.pop() {
        for thread in entries(&PathBuf::from(format!("/proc/{pid}/task"))) {
            let read = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
            let stack = read("stack");
            let frames: Vec<&str> = stack
                .lines()
                .filter_map(|line| line.split_whitespace().last())
                .collect();
            let state = read("status");
            let state = state.lines().find(|line| line.starts_with("State:"));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{} {} {} wchan {} syscall {} stack {}",
                thread.display(),
                read("comm").trim_end(),
                state.unwrap_or_default(),
                read("wchan"),
                read("syscall").trim_end(),
                frames.join(" ")
            );
            let children = read("children");
            processes.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    text
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_waiting_child_is_told_with_its_call() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let path = format!("/proc/{}/task", child.id());
        let text = crate::eventually("cat to wait", || {
            let text = threads_below(std::process::id());
            let line = text.lines().find(|line| line.starts_with(&path))?;
            let read_from_stdin = format!("syscall {} 0x0 ", nix::libc::SYS_read);
            line.contains(&read_from_stdin).then(|| line.to_owned())
        });
        assert!(text.contains(" cat State:\tS"), "{text}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}
