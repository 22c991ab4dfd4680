//! The program inside the containers of the end-to-end tests: it does what its arguments say and reports on
//! standard output, one fact a line.

use std::{
    env, fs, io,
    io::Write,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};

const USAGE: &str = "exit N | print WORD.. | wait | ignore-term | abort | cat PATH.. | write PATH TEXT | \
     identity | mounts | descriptors | environment | read-tree DIR | list DIR | orphan | flood LINES | long-line BYTES | fork-children N";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let code = run(&words).unwrap_or_else(|error| {
        println!("error {error}");
        ExitCode::from(99)
    });
    // The log is written by another process: this line tells a reader that nothing more will come.
    println!("end of output");
    code
}

fn run(words: &[&str]) -> io::Result<ExitCode> {
    match words {
        ["exit", code] => {
            return Ok(ExitCode::from(
                code.parse::<u8>().map_err(io::Error::other)?,
            ));
        }
        ["print", text @ ..] => println!("{}", text.join(" ")),
        ["wait"] => wait(),
        ["ignore-term"] => {
            SigSet::from(Signal::SIGTERM).thread_block()?;
            println!("SIGTERM blocked");
            wait();
        }
        ["abort"] => std::process::abort(),
        ["cat", paths @ ..] => {
            for path in paths {
                report(path, fs::read_to_string(path))?;
            }
        }
        ["write", path, text] => report(path, fs::write(path, text).map(|()| "written".into()))?,
        ["identity"] => identity()?,
        ["mounts"] => print!("{}", fs::read_to_string("/proc/self/mountinfo")?),
        ["descriptors"] => descriptors()?,
        ["environment"] => {
            for (name, value) in env::vars() {
                println!("{name}={value}");
            }
        }
        ["read-tree", directory] => read_tree(Path::new(directory))?,
        ["list", directory] => list(Path::new(directory))?,
        ["orphan"] => orphan()?,
        ["sleep", seconds] => {
            thread::sleep(Duration::from_secs(
                seconds.parse().map_err(io::Error::other)?,
            ));
        }
        ["flood", lines] => {
            let count: u64 = lines.parse().map_err(io::Error::other)?;
            for line in 0..count {
                println!("line {line}");
            }
        }
        ["long-line", bytes] => long_line(bytes.parse().map_err(io::Error::other)?)?,
        ["fork-children", count] => fork_children(count.parse().map_err(io::Error::other)?)?,
        _ => {
            println!("usage: {USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    io::stdout().flush()?;
    Ok(ExitCode::SUCCESS)
}

fn wait() {
    println!("waiting");
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Prints `PATH TEXT`, or `PATH error ERRNO` so that a test can tell EIO from EACCES.
fn report(path: &str, result: io::Result<String>) -> io::Result<()> {
    match result {
        Ok(text) => println!("{path} {}", text.trim_end()),
        Err(error) => println!("{path} error {}", error.raw_os_error().unwrap_or(0)),
    }
    io::stdout().flush()
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

fn long_line(bytes: u64) -> io::Result<()> {
    let chunk = [b'x'; 4096];
    let mut left = bytes;
    let mut output = io::stdout().lock();
    while left > 0 {
        let length = left.min(chunk.len() as u64) as usize;
        output.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    output.write_all(b"\nend of the long line\n")
}

/// Starts children until `count` run or the kernel refuses; prints how many there are.
fn fork_children(count: u32) -> io::Result<()> {
    let this = env::current_exe()?;
    let mut children = Vec::new();
    for _ in 0..count {
        match Command::new(&this)
            .arg("wait")
            .stdout(std::process::Stdio::null())
            .spawn()
        {
            Ok(child) => children.push(child),
            Err(error) => {
                println!("fork error {}", error.raw_os_error().unwrap_or(0));
                break;
            }
        }
    }
    println!("children {}", children.len());
    io::stdout().flush()?;
    wait();
    Ok(())
}
