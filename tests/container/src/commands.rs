//! Reading, writing, waiting and ending.

use std::{
    env, fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

use crate::{Answer, done, number, report, wait};

pub fn run(words: &[&str]) -> Answer {
    match words {
        ["exit", code] => return Ok(Some(ExitCode::from(number::<u8>(code)?))),
        ["print", text @ ..] => println!("{}", text.join(" ")),
        ["wait"] => wait(),
        ["ignore-term"] => {
            SigSet::from(Signal::SIGTERM).thread_block()?;
            println!("SIGTERM blocked");
            wait();
        }
        ["abort" | "crash"] => std::process::abort(),
        ["cat", paths @ ..] => {
            for path in paths {
                report(path, fs::read_to_string(path))?;
            }
        }
        ["write", path, text] => report(path, fs::write(path, text).map(|()| "written".into()))?,
        ["touch", path] => {
            let mut options = fs::OpenOptions::new();
            let opened = options.create(true).append(true).open(path);
            report(path, opened.map(|_| "touched".into()))?;
        }
        ["inspect"] => {
            identity()?;
            descriptors()?;
            environment();
        }
        ["identity"] => identity()?,
        ["mounts"] => print!("{}", fs::read_to_string("/proc/self/mountinfo")?),
        ["descriptors"] => descriptors()?,
        ["environment"] => environment(),
        ["directory"] => println!("directory {}", env::current_dir()?.display()),
        ["read-tree", directory] => read_tree(Path::new(directory))?,
        ["list", directory] => list(Path::new(directory))?,
        ["orphan"] => orphan()?,
        ["sleep", seconds] => thread::sleep(Duration::from_secs(number(seconds)?)),
        _ => return Ok(None),
    }
    done()
}

fn environment() {
    for (name, value) in env::vars() {
        println!("{name}={value}");
    }
}

fn identity() -> io::Result<()> {
    let wanted = [
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ];
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        if wanted
            .iter()
            .any(|name| line.split(':').next() == Some(name))
        {
            println!("{}", line.replace('\t', " "));
        }
    }
    for namespace in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        println!(
            "ns {}",
            fs::read_link(format!("/proc/self/ns/{namespace}"))?.display()
        );
    }
    Ok(())
}

fn descriptors() -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((entry.file_name(), target))
        })
        // The directory being listed is itself an open descriptor.
        .filter(|(_, target)| !target.to_string_lossy().ends_with("/fd"))
        .collect();
    entries.sort();
    for (number, target) in entries {
        println!("fd {} {}", number.display(), target.display());
    }
    Ok(())
}

fn read_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            read_tree(&path)?;
        } else {
            let result = fs::read(&path).map(|bytes| format!("{} bytes", bytes.len()));
            report(&path.to_string_lossy(), result)?;
        }
    }
    Ok(())
}

/// Prints each entry of a directory with its kind; of a device node also its numbers.
fn list(directory: &Path) -> io::Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        let kind = metadata.file_type();
        let rdev = metadata.rdev();
        let text = if kind.is_char_device() {
            format!(
                "char {}:{}",
                nix::sys::stat::major(rdev),
                nix::sys::stat::minor(rdev)
            )
        } else if kind.is_block_device() {
            "block".to_owned()
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(&path)?.display())
        } else if kind.is_dir() {
            "directory".to_owned()
        } else {
            "file".to_owned()
        };
        lines.push(format!("{} {text}", path.display()));
    }
    lines.sort();
    println!("{}", lines.join("\n"));
    Ok(())
}

/// Leaves a grandchild behind whose parent is gone: init has to adopt and reap it.
fn orphan() -> io::Result<()> {
    let this = env::current_exe()?;
    Command::new(&this).args(["sleep", "1"]).spawn()?;
    println!("orphaned");
    Ok(())
}
