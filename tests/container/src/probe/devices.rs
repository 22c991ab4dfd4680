//! `/dev`, exactly, and the ways to other devices.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
};

use nix::{
    libc,
    sys::stat::{Mode, SFlag, major, makedev, minor, mknod},
};

use super::{Findings, outcome};

/// Devices of a host that must not be there.
const HOST: &[&str] = &[
    "autofs",
    "console",
    "cpu",
    "disk",
    "dri",
    "fb0",
    "fuse",
    "hpet",
    "input",
    "kmem",
    "kmsg",
    "kvm",
    "loop-control",
    "loop0",
    "mapper",
    "mem",
    "net",
    "nvme0",
    "port",
    "rtc0",
    "sda",
    "snapshot",
    "tty0",
    "tty1",
    "ttyS0",
    "uinput",
    "userfaultfd",
    "vda",
    "vhost-net",
    "watchdog",
];

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    listed(findings)?;
    used(findings)?;
    for name in HOST {
        findings.attempt(
            format!("dev.host.{name}"),
            File::open(format!("/dev/{name}")),
        );
    }
    made(findings)
}

/// Every entry with its kind, mode and numbers.
fn listed(findings: &mut Findings) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/dev")? {
        let entry = entry?;
        let metadata = fs::symlink_metadata(entry.path())?;
        let (kind, rdev) = (metadata.file_type(), metadata.rdev());
        let what = if kind.is_char_device() {
            format!("char {}:{}", major(rdev), minor(rdev))
        } else if kind.is_symlink() {
            format!("link {}", fs::read_link(entry.path())?.display())
        } else if kind.is_dir() {
            "directory".to_owned()
        } else {
            format!("{kind:?}")
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let mode = metadata.mode() & 0o7777;
        let owner = (metadata.uid(), metadata.gid());
        findings.note(
            format!("dev.{name}"),
            format!("{what} {mode:o} {}:{}", owner.0, owner.1),
        );
        names.push(name);
    }
    names.sort();
    findings.note("dev.names", names.join(","));
    Ok(())
}

fn used(findings: &mut Findings) -> io::Result<()> {
    let mut bytes = [1; 16];
    findings.note("dev.null.read", File::open("/dev/null")?.read(&mut bytes)?);
    File::open("/dev/zero")?.read_exact(&mut bytes)?;
    findings.note(
        "dev.zero.read",
        if bytes == [0; 16] { "zeros" } else { "else" },
    );
    for name in ["random", "urandom"] {
        let result =
            File::open(format!("/dev/{name}")).and_then(|mut file| file.read_exact(&mut bytes));
        findings.attempt(format!("dev.{name}.read"), result);
    }
    for name in ["null", "full"] {
        let result = OpenOptions::new().write(true).open(format!("/dev/{name}"));
        findings.attempt(
            format!("dev.{name}.write"),
            result.and_then(|mut file| file.write_all(b"x")),
        );
    }
    let terminals =
        fs::read_dir("/dev/pts")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    findings.note("dev.pts.names", terminals.collect::<Vec<_>>().join(","));
    findings.note("dev.shm.entries", fs::read_dir("/dev/shm")?.count());
    Ok(())
}

/// Nodes that the container makes itself: of harmless and of block devices, in a directory it can write to.
fn made(findings: &mut Findings) -> io::Result<()> {
    let path = "/dev/shm/node";
    for (name, kind, number) in [
        ("null", SFlag::S_IFCHR, makedev(1, 3)),
        ("mem", SFlag::S_IFCHR, makedev(1, 1)),
        ("kmsg", SFlag::S_IFCHR, makedev(1, 11)),
        ("loop0", SFlag::S_IFBLK, makedev(7, 0)),
        ("vda", SFlag::S_IFBLK, makedev(254, 0)),
        ("fifo", SFlag::S_IFIFO, 0),
        ("socket", SFlag::S_IFSOCK, 0),
    ] {
        let made = mknod(path, kind, Mode::from_bits_truncate(0o600), number);
        findings.attempt(format!("mknod.{name}"), made);
        let opened = match made {
            Ok(()) => {
                let flags = libc::O_NONBLOCK;
                let mut options = OpenOptions::new();
                let options =
                    std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true), flags);
                outcome(options.open(path))
            }
            Err(_) => "nothing to open".to_owned(),
        };
        findings.note(format!("mknod.{name}.open"), opened);
        if made.is_ok() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
