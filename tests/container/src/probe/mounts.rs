//! The mounts of the container, exactly, and every way to make, change or leave them.

use std::{fs, io};

use nix::libc;

use super::{
    Findings,
    call::{Bytes, Number},
};

/// Options that depend on the machine or on the kernel's version alone.
const UNTOLD: &[&str] = &[
    "relatime",
    "noatime",
    "inode64",
    "errors=continue",
    "seclabel",
];

/// Flags of mount(2).
const MS_RDONLY_REMOUNT: i64 = 32;
const MS_BIND: i64 = 4096;

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    listed(findings)?;
    mounting(findings)?;
    changing_the_root(findings)?;
    new_interface(findings)
}

/// Every line of mountinfo, proc_pid_mountinfo(5): file system, options of the mount and of the file system,
/// propagation.
fn listed(findings: &mut Findings) -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let mut targets = Vec::new();
    for line in text.lines() {
        let (mount, filesystem) = line.split_once(" - ").unwrap_or((line, ""));
        let mut mount = mount.split(' ').skip(4);
        let target = mount.next().unwrap_or_default();
        let options = mount.next().unwrap_or_default();
        let propagation: Vec<&str> = mount.filter_map(|tag| tag.split(':').next()).collect();
        let propagation = match propagation.join(",") {
            none if none.is_empty() => "private".to_owned(),
            tags => tags,
        };
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next().unwrap_or_default();
        // A bind shows the options of the host's file system, which are the host's business.
        let size = filesystem
            .nth(1)
            .unwrap_or_default()
            .split(',')
            .filter(|option| {
                kind == "tmpfs" && (option.starts_with("size=") || option.starts_with("mode="))
            })
            .collect::<Vec<_>>()
            .join(",");
        let options: Vec<&str> = options
            .split(',')
            .filter(|option| !UNTOLD.contains(option))
            .collect();
        let text = format!("{kind} {} {propagation} {size}", options.join(","));
        findings.note(format!("mount.{target}"), text.trim_end());
        targets.push(target);
    }
    // What hides entries of procfs and sysfs depends on which of them the kernel has.
    targets.retain(|target| !target.starts_with("/proc/") && !target.starts_with("/sys/"));
    findings.note("mounts.count", targets.len());
    Ok(())
}

/// mount(2) and umount2(2).
fn mounting(findings: &mut Findings) -> io::Result<()> {
    for kind in [
        "tmpfs",
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "devpts",
        "overlay",
        "securityfs",
        "debugfs",
    ] {
        let name = format!("{kind}\0");
        let (name, place, none) = (Bytes(name.as_bytes()), Bytes(b"/proc\0"), Number(0));
        let arguments = [name, place, name, none, none];
        findings.call(&format!("mounting.{kind}"), libc::SYS_mount, &arguments)?;
    }
    let (root, proc, none) = (Bytes(b"/\0"), Bytes(b"/proc\0"), Number(0));
    for (check, source, target, flags) in [
        ("mounting.remount_root_rw", root, root, MS_RDONLY_REMOUNT),
        (
            "mounting.remount_proc_rw",
            proc,
            proc,
            MS_RDONLY_REMOUNT | MS_BIND,
        ),
        ("mounting.bind", root, proc, MS_BIND),
    ] {
        let arguments = [source, target, none, Number(flags), none];
        findings.call(check, libc::SYS_mount, &arguments)?;
    }
    findings.call("mounting.umount_proc", libc::SYS_umount2, &[proc, none])?;
    findings.call(
        "mounting.umount_mask",
        libc::SYS_umount2,
        &[Bytes(b"/proc/keys\0"), Number(2)],
    )?;
    findings.attempt("mounting.write_root", fs::write("/file", "x"));
    findings.attempt(
        "mounting.write_program",
        fs::OpenOptions::new().write(true).open("/test-container"),
    );
    Ok(())
}

fn changing_the_root(findings: &mut Findings) -> io::Result<()> {
    let proc = Bytes(b"/proc\0");
    findings.call("root.chroot", libc::SYS_chroot, &[proc])?;
    findings.call("root.pivot_root", libc::SYS_pivot_root, &[proc, proc])?;
    // A handle of the root directory of whatever file system descriptor 0 is on: FILEID_INO32_GEN, inode 2.
    let mut handle = [0u8; 16];
    handle[0] = 8;
    handle[4] = 1;
    handle[8] = 2;
    let arguments = [Number(0), Bytes(&handle), Number(0)];
    findings.call(
        "root.open_by_handle_at",
        libc::SYS_open_by_handle_at,
        &arguments,
    )?;
    let up = fs::read_dir("/../../..")?.count();
    let here = fs::read_dir("/")?.count();
    findings.note("root.is_the_top", up == here);
    Ok(())
}

/// The descriptors of mount file systems, fsopen(2) and the like.
fn new_interface(findings: &mut Findings) -> io::Result<()> {
    let (root, none) = (Bytes(b"/\0"), Number(0));
    let here = Number(i64::from(libc::AT_FDCWD));
    findings.call(
        "mount_api.fsopen",
        libc::SYS_fsopen,
        &[Bytes(b"tmpfs\0"), none],
    )?;
    findings.call("mount_api.fspick", libc::SYS_fspick, &[here, root, none])?;
    // OPEN_TREE_CLONE.
    findings.call(
        "mount_api.open_tree_clone",
        libc::SYS_open_tree,
        &[here, root, Number(1)],
    )?;
    let arguments = [here, root, here, Bytes(b"/proc\0"), none];
    findings.call("mount_api.move_mount", libc::SYS_move_mount, &arguments)?;
    // Clears read-only.
    let mut attributes = [0u8; 32];
    attributes[8] = 1;
    let arguments = [here, root, none, Bytes(&attributes), Number(32)];
    findings.call(
        "mount_api.mount_setattr",
        libc::SYS_mount_setattr,
        &arguments,
    )?;
    findings.call(
        "mount_api.fsmount",
        libc::SYS_fsmount,
        &[Number(0), none, none],
    )
}
