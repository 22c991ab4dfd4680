//! Prints what a container sees of the world, section by section.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    section("arguments");
    env::args().for_each(|argument| println!("{argument}"));

    section("environment");
    env::vars().for_each(|(name, value)| println!("{name}={value}"));

    section("process");
    let status = fs::read_to_string("/proc/self/status")?;
    let shown = [
        "Pid",
        "PPid",
        "Uid",
        "Gid",
        "Groups",
        "Cap",
        "NoNewPrivs",
        "Seccomp",
    ];
    for line in status
        .lines()
        .filter(|line| shown.iter().any(|name| line.starts_with(name)))
    {
        println!("{line}");
    }

    section("descriptors");
    links(Path::new("/proc/self/fd"))?;

    section("namespaces");
    links(Path::new("/proc/self/ns"))?;

    for file in ["limits", "cgroup", "mountinfo"] {
        section(file);
        print!(
            "{}",
            fs::read_to_string(Path::new("/proc/self").join(file))?
        );
    }

    section("files of the root folder");
    for entry in fs::read_dir("/")? {
        println!("{}", entry?.path().display());
    }
    Ok(())
}

fn section(title: &str) {
    println!("--- {title}");
}

fn links(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // The descriptor that lists /proc/self/fd is gone by now.
        if let Ok(target) = fs::read_link(&path) {
            println!("{} -> {}", path.display(), target.display());
        }
    }
    Ok(())
}
