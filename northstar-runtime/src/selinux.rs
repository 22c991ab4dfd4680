//! Whether labels mean anything on this machine.
//!
//! Without SELinux the kernel takes no label and nothing asks for one: a container starts, and its labels have no
//! effect. With SELinux every label is written and read back, and one that cannot be had stops the start.

use std::{fs, sync::OnceLock};

/// The label, if the kernel runs with SELinux.
pub(crate) fn effective(label: Option<&String>) -> Option<String> {
    label.filter(|_| is_active()).cloned()
}

/// Whether the kernel runs with SELinux, which is decided when it boots. If it cannot be found out, labels are asked
/// for.
fn is_active() -> bool {
    static ACTIVE: OnceLock<bool> = OnceLock::new();
    *ACTIVE.get_or_init(|| {
        fs::read_to_string("/proc/filesystems").map_or(true, |types| lists_selinuxfs(&types))
    })
}

/// The kernel registers the file system of SELinux only where SELinux is on, `security/selinux/selinuxfs.c`; the
/// format is that of proc_filesystems(5).
fn lists_selinuxfs(types: &str) -> bool {
    types
        .lines()
        .any(|line| line.split_whitespace().last() == Some("selinuxfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_with_selinux_has_its_file_system() {
        assert!(lists_selinuxfs("nodev\tsysfs\nnodev\tselinuxfs\n\text4\n"));
        assert!(!lists_selinuxfs(
            "nodev\tsysfs\nnodev\tsecurityfs\n\text4\n"
        ));
        assert!(!lists_selinuxfs(""));
    }

    #[test]
    fn labels_are_in_force_where_selinux_is() {
        let label = "user_u:role_r:type_t".to_owned();
        let expected = is_active().then(|| label.clone());
        assert_eq!(effective(Some(&label)), expected);
        assert_eq!(effective(None), None);
    }
}
