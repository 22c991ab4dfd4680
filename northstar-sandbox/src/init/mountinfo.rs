//! Runs in init, after fork. `/proc/self/mountinfo`, proc_pid_mountinfo(5), and its comparison
//! with what was mounted: the proof that flags asked for are flags in force, and that nothing
//! else is there.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::mounts::{Mount, Mounted};
use super::read_procfs;
use crate::forker::CONTAINER;
use crate::step::{At, Step, StepError};

/// Where this process stands while it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The container's root is a directory of the stage.
    Stage,
    /// The container's root is the root.
    Container,
}

/// One line of mountinfo, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    id: u64,
    parent: u64,
    target: PathBuf,
    read_only: bool,
    nosuid: bool,
    nodev: bool,
    noexec: bool,
    /// Its files have the ids of a user namespace.
    id_mapped: bool,
    /// Mounts on it do not show up elsewhere, nor the other way round.
    private: bool,
}

/// Compares what the kernel shows with what was mounted: the same mounts, each with its id at its
/// place and exactly its flags, each on the mount it appears to be on, and no others.
pub(super) fn compare(procfs: &OwnedFd, mounted: &Mounted, view: View) -> Result<(), StepError> {
    let step = match view {
        View::Stage => Step::Compare,
        View::Container => Step::Isolation,
    };
    let content = read_procfs(procfs, "self/mountinfo").at(step)?;
    let lines = parse(&content)
        .ok_or_else(|| StepError::new(step, Errno::BADMSG.raw_os_error(), "mountinfo"))?;
    let lines = match view {
        View::Stage => inside_container(lines),
        View::Container => lines,
    };
    match difference(&lines, mounted) {
        None => Ok(()),
        Some(target) => {
            let detail = target.display().to_string();
            Err(StepError::new(step, Errno::PROTO.raw_os_error(), detail))
        }
    }
}

/// The lines at and below the container's place on the stage, as the container will see them.
fn inside_container(lines: Vec<Line>) -> Vec<Line> {
    let relative = |line: Line| {
        let target = Path::new("/").join(line.target.strip_prefix(CONTAINER).ok()?);
        Some(Line { target, ..line })
    };
    lines.into_iter().filter_map(relative).collect()
}

/// The first place where lines and mounts differ.
fn difference(lines: &[Line], mounted: &Mounted) -> Option<PathBuf> {
    let by_id = lines
        .iter()
        .map(|line| (line.id, line))
        .collect::<BTreeMap<_, _>>();
    let expected = mounted
        .all()
        .map(|mount| (mount.id, mount))
        .collect::<BTreeMap<_, _>>();

    let missing = expected.values().find(|mount| {
        !by_id.get(&mount.id).is_some_and(|line| {
            line.target == mount.target
                && agrees(line, mount)
                && Some(line.parent) == mounted_on(lines, line)
        })
    });
    if let Some(mount) = missing {
        return Some(mount.target.clone());
    }

    // Only a recursive source may bring mounts that nobody listed, and under its own flags.
    let foreign = lines.iter().find(|line| {
        let mut ancestor = *line;
        loop {
            if let Some(mount) = expected.get(&ancestor.id) {
                let listed = ancestor.id == line.id;
                return !(listed || mount.flags.recursive && agrees(line, mount));
            }
            match by_id.get(&ancestor.parent) {
                Some(parent) if parent.id != ancestor.id => ancestor = parent,
                _ => return true,
            }
        }
    });
    foreign.map(|line| line.target.clone())
}

/// The mount that covers the place of `line`: the one with the longest path above it. A mount
/// that is on any other one is hidden below it. The root's parent is outside the container.
fn mounted_on(lines: &[Line], line: &Line) -> Option<u64> {
    if line.target == Path::new("/") {
        return Some(line.parent);
    }
    lines
        .iter()
        .filter(|other| other.id != line.id && line.target.starts_with(&other.target))
        .max_by_key(|other| other.target.components().count())
        .map(|other| other.id)
}

/// Whether a line has the flags of a mount. A source that was id-mapped already may stay so.
fn agrees(line: &Line, mount: &Mount) -> bool {
    let flags = mount.flags;
    let found = (line.read_only, line.nosuid, line.nodev, line.noexec);
    let wanted = (flags.read_only, flags.nosuid, flags.nodev, flags.noexec);
    line.private && found == wanted && (line.id_mapped || !mount.id_mapped)
}

fn parse(content: &[u8]) -> Option<Vec<Line>> {
    let lines = content.strip_suffix(b"\n").unwrap_or(content);
    lines.split(|byte| *byte == b'\n').map(parse_line).collect()
}

/// `36 35 98:0 /root /target rw,noatime master:1 - ext3 /dev/root rw`
fn parse_line(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let (_device, _root) = (fields.next()?, fields.next()?);
    let target = unescape(fields.next()?)?;
    let options = fields
        .next()?
        .split(|byte| *byte == b',')
        .collect::<Vec<_>>();
    // Optional fields up to the dash tell of peers and masters, shared-subtrees(7).
    let private = fields.next()? == b"-";
    if !private {
        fields.find(|field| *field == b"-")?;
    }
    let has = |option: &[u8]| options.contains(&option);
    if has(b"ro") == has(b"rw") {
        return None;
    }
    Some(Line {
        id,
        parent,
        target,
        read_only: has(b"ro"),
        nosuid: has(b"nosuid"),
        nodev: has(b"nodev"),
        noexec: has(b"noexec"),
        id_mapped: has(b"idmapped"),
        private,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Space, tab, newline and backslash are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'\\' {
            let (digits, tail) = tail.split_at_checked(3)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            rest = tail;
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    Some(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::MountFlags;

    const READ_ONLY: MountFlags = MountFlags {
        read_only: true,
        nosuid: true,
        nodev: true,
        noexec: false,
        recursive: false,
    };

    fn mount(id: u64, target: &str, flags: MountFlags) -> Mount {
        Mount {
            id,
            target: target.into(),
            flags,
            id_mapped: false,
        }
    }

    fn difference_of(content: &str, mounts: Vec<Mount>) -> Option<PathBuf> {
        difference(
            &parse(content.as_bytes()).unwrap(),
            &Mounted::for_test(mounts),
        )
    }

    #[test]
    fn line_is_read_with_its_escapes() {
        let line = parse_line(
            b"36 35 98:0 /mnt1 /mnt\\0402\\134 ro,nodev,relatime master:1 - ext3 /dev/root rw",
        );
        assert_eq!(
            line,
            Some(Line {
                id: 36,
                parent: 35,
                target: "/mnt 2\\".into(),
                read_only: true,
                nosuid: false,
                nodev: true,
                noexec: false,
                id_mapped: false,
                private: false,
            })
        );
        for bad in [
            "",
            "36",
            "36 35 98:0 / /x rw",
            "36 35 98:0 / /x nodev - a b",
            "a 1 2 3 4 rw -",
        ] {
            assert_eq!(parse_line(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(unescape(b"a\\04"), None);
        assert_eq!(unescape(b"a\\999"), None);
    }

    #[test]
    fn equal_is_equal() {
        let content = "7 1 0:1 / / ro,nosuid,nodev,relatime - squashfs x ro\n\
                       8 7 0:2 / /data rw,relatime - tmpfs x rw\n";
        let mounts = || {
            vec![
                mount(7, "/", READ_ONLY),
                mount(8, "/data", MountFlags::default()),
            ]
        };
        assert_eq!(difference_of(content, mounts()), None);
    }

    #[test]
    fn missing_foreign_wrong_flag_and_wrong_place_are_found() {
        let root = "7 1 0:1 / / ro,nosuid,nodev - squashfs x ro\n";
        let plain = MountFlags::default();
        let mounts = || vec![mount(7, "/", READ_ONLY), mount(8, "/data", plain)];
        let at = |line: &str| difference_of(&format!("{root}{line}"), mounts());
        assert_eq!(difference_of(root, mounts()), Some("/data".into()));
        assert_eq!(
            at("8 7 0:2 / /data rw,nodev - tmpfs x rw"),
            Some("/data".into())
        );
        assert_eq!(at("8 7 0:2 / /other rw - tmpfs x rw"), Some("/data".into()));
        assert_eq!(
            at("8 7 0:2 / /data rw shared:1 - tmpfs x rw"),
            Some("/data".into())
        );
        assert_eq!(
            at("8 7 0:2 / /data rw master:1 - tmpfs x rw"),
            Some("/data".into())
        );
        assert_eq!(
            at("8 7 0:2 / /data rw - tmpfs x rw\n9 7 0:3 / /host rw - ext4 x rw"),
            Some("/host".into())
        );
        assert_eq!(
            at("8 7 0:2 / /data rw - tmpfs x rw\n9 5 0:3 / / rw - ext4 x rw"),
            Some("/data".into())
        );
    }

    #[test]
    fn missing_id_map_is_found() {
        let mapped = || Mount {
            id_mapped: true,
            ..mount(7, "/", READ_ONLY)
        };
        let root = |options: &str| format!("7 1 0:1 / / {options} - squashfs x ro\n");
        let mapping = root("ro,nosuid,nodev,idmapped");
        assert_eq!(difference_of(&mapping, vec![mapped()]), None);
        let without = root("ro,nosuid,nodev");
        assert_eq!(difference_of(&without, vec![mapped()]), Some("/".into()));
    }

    #[test]
    fn hidden_mount_is_found() {
        // /a/b was mounted on the root, then /a over it: /a/b can no longer be reached.
        let content = "7 1 0:1 / / ro,nosuid,nodev - squashfs x ro\n\
                       8 7 0:2 / /a/b rw - tmpfs x rw\n\
                       9 7 0:3 / /a rw - tmpfs x rw\n";
        let plain = MountFlags::default();
        let mounts = vec![
            mount(7, "/", READ_ONLY),
            mount(8, "/a/b", plain),
            mount(9, "/a", plain),
        ];
        assert_eq!(difference_of(content, mounts), Some("/a/b".into()));
    }

    #[test]
    fn recursive_source_brings_its_own_under_its_flags() {
        let content = "7 1 0:1 / / ro,nosuid,nodev - squashfs x ro\n\
                       8 7 0:2 / /data ro,nosuid,nodev - ext4 x rw\n\
                       9 8 0:3 / /data/sub ro,nosuid,nodev - ext4 x rw\n\
                       10 9 0:3 / /data/sub/sub ro,nosuid,nodev - ext4 x rw\n";
        let recursive = MountFlags {
            recursive: true,
            ..READ_ONLY
        };
        let with = |flags| vec![mount(7, "/", READ_ONLY), mount(8, "/data", flags)];
        assert_eq!(difference_of(content, with(recursive)), None);
        assert_eq!(
            difference_of(content, with(READ_ONLY)),
            Some("/data/sub".into())
        );
        let writable = content.replace("/data/sub/sub ro", "/data/sub/sub rw");
        assert_eq!(
            difference_of(&writable, with(recursive)),
            Some("/data/sub/sub".into())
        );
    }
}
