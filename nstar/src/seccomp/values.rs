//! The arguments of a system call as strace prints them, and their values.

use nix::libc;

use super::ArgumentError;

/// Splits `a, b) = 0` into the arguments and what is behind the parenthesis. Commas and parentheses
/// inside of strings, structures, decoded descriptors and comments do not count.
pub fn arguments(text: &str) -> (Vec<String>, &str) {
    let mut arguments = Vec::new();
    let mut start = 0;
    let mut scan = Scan::default();
    for (at, c) in text.char_indices() {
        match scan.next(c) {
            Some(',') => {
                push(&mut arguments, text.get(start..at));
                start = at.saturating_add(1);
            }
            Some(')') => {
                push(&mut arguments, text.get(start..at));
                let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
                return (arguments, rest);
            }
            _ => {}
        }
    }
    push(&mut arguments, text.get(start..));
    (arguments, "")
}

fn push(arguments: &mut Vec<String>, text: Option<&str>) {
    let text = text.unwrap_or_default().trim();
    if !text.is_empty() {
        arguments.push(text.to_owned());
    }
}

/// Where in the text we are.
#[derive(Default)]
struct Scan {
    depth: usize,
    /// Within `<...>` behind a descriptor.
    angles: usize,
    in_string: bool,
    in_comment: bool,
    is_escaped: bool,
    last: Option<char>,
}

impl Scan {
    /// The character, if it stands outside of everything.
    fn next(&mut self, c: char) -> Option<char> {
        let last = self.last.replace(c);
        if self.in_comment {
            self.in_comment = !(last == Some('*') && c == '/');
            return None;
        }
        if self.in_string {
            if self.is_escaped {
                self.is_escaped = false;
            } else {
                self.is_escaped = c == '\\';
                self.in_string = c != '"';
            }
            return None;
        }
        match c {
            '"' => self.in_string = true,
            '*' if last == Some('/') => self.in_comment = true,
            // `3</path>`; a shift as in `1<<2` or an arrow as in `<TCP:[a->b]>` is none.
            '<' if last == Some('<') => self.angles = self.angles.saturating_sub(1),
            '<' if self.angles > 0 || last.is_some_and(|c| c.is_ascii_alphanumeric()) => {
                self.angles = self.angles.saturating_add(1);
            }
            '>' if last == Some('-') => {}
            '>' => self.angles = self.angles.saturating_sub(1),
            _ if self.angles > 0 => {}
            '(' | '[' | '{' => self.depth = self.depth.saturating_add(1),
            ')' | ']' | '}' if self.depth > 0 => self.depth = self.depth.saturating_sub(1),
            c if self.depth == 0 => return Some(c),
            _ => {}
        }
        None
    }
}

/// The text of the argument of a call. strace writes the flags of clone by name, behind the stack.
pub fn text_of<'a>(
    call: &str,
    arguments: &'a [String],
    index: usize,
) -> Result<&'a str, ArgumentError> {
    let missing = || ArgumentError::Missing { index };
    if call == "clone" && arguments.iter().any(|text| text.contains('=')) {
        let flags = arguments
            .iter()
            .find_map(|text| text.strip_prefix("flags="));
        return flags.filter(|_| index == 0).ok_or_else(missing);
    }
    arguments.get(index).map(String::as_str).ok_or_else(missing)
}

/// The values that an argument may have had in its register: two for a negative `int`, whose upper half
/// is up to the compiler.
pub fn values(text: &str) -> Result<Vec<u64>, ArgumentError> {
    let unknown = || ArgumentError::Unknown {
        text: text.to_owned(),
    };
    // `0x1 /* AF_UNIX */`
    let number = text.split("/*").next().unwrap_or(text).trim();
    // `3</path>`
    let number = number.split('<').next().unwrap_or(number);
    if let Some(value) = literal(number) {
        return Ok(widths(value));
    }
    // `TCGETS or SNDCTL_TMR_TIMEBASE` are names of one value.
    if let Some((first, _)) = number.split_once(" or ") {
        return symbols(first).map(widths).ok_or_else(unknown);
    }
    symbols(number).map(widths).ok_or_else(unknown)
}

fn widths(value: i128) -> Vec<u64> {
    match u64::try_from(value) {
        Ok(value) => vec![value],
        Err(_) => {
            let long = i64::try_from(value).map(i64::cast_unsigned);
            let int = i32::try_from(value).map(i32::cast_unsigned).map(u64::from);
            int.into_iter().chain(long).collect()
        }
    }
}

/// The bits of names that are joined by `|`.
fn symbols(text: &str) -> Option<i128> {
    text.split('|').try_fold(0, |bits, word| {
        let value = literal(word).or_else(|| symbol(word))?;
        Some(bits | value)
    })
}

/// A number in decimal, hexadecimal or octal.
fn literal(text: &str) -> Option<i128> {
    if text == "NULL" {
        return Some(0);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(i128::from);
    }
    if text.len() > 1 && text.starts_with('0') {
        return u64::from_str_radix(text, 8).ok().map(i128::from);
    }
    text.parse::<i128>()
        .ok()
        .filter(|value| i64::try_from(*value).is_ok() || u64::try_from(*value).is_ok())
}

macro_rules! named {
    ($text:expr, $($name:ident)*) => {
        match $text {
            $(stringify!($name) => i128::from(libc::$name),)*
            _ => return None,
        }
    };
}

/// The value of a name that strace prints: socket families, protocols of netlink, requests of ioctl that any program makes, flags
/// of clone, kinds of files.
fn symbol(text: &str) -> Option<i128> {
    Some(named!(text,
        AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_X25 AF_INET6
        AF_ROSE AF_DECnet AF_SECURITY AF_KEY AF_NETLINK AF_PACKET AF_ASH AF_ECONET AF_SNA AF_IRDA
        AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_CAN AF_TIPC AF_BLUETOOTH AF_IUCV AF_RXRPC
        AF_ISDN AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK AF_XDP
        NETLINK_ROUTE NETLINK_USERSOCK NETLINK_SOCK_DIAG NETLINK_NFLOG NETLINK_XFRM NETLINK_SELINUX
        NETLINK_ISCSI NETLINK_AUDIT NETLINK_FIB_LOOKUP NETLINK_CONNECTOR NETLINK_NETFILTER
        NETLINK_KOBJECT_UEVENT NETLINK_GENERIC NETLINK_SCSITRANSPORT NETLINK_ECRYPTFS NETLINK_RDMA
        NETLINK_CRYPTO
        TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCEXCL TIOCNXCL TIOCSCTTY TIOCGPGRP
        TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ TIOCMGET TIOCMBIS TIOCMBIC TIOCMSET
        TIOCLINUX TIOCCONS TIOCNOTTY TIOCGSID FIONREAD FIONBIO FIONCLEX FIOCLEX FIOASYNC
        SIOCGIFNAME SIOCGIFCONF SIOCGIFFLAGS SIOCGIFADDR SIOCGIFMTU SIOCGIFHWADDR SIOCGIFINDEX
        CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK
        CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID
        CLONE_CHILD_CLEARTID CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP
        CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO
        SIGCHLD S_IFSOCK S_IFREG S_IFBLK S_IFCHR S_IFIFO AT_FDCWD
        PR_SET_NAME PR_GET_NAME PR_SET_PDEATHSIG PR_SET_DUMPABLE PR_GET_DUMPABLE
        PR_SET_NO_NEW_PRIVS PR_SET_SECCOMP PR_CAPBSET_READ PR_SET_KEEPCAPS PR_SET_VMA
        F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_DUPFD_CLOEXEC
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_where_they_end() {
        let cases: [(&str, &[&str], &str); 9] = [
            (
                "AF_UNIX, SOCK_STREAM, 0) = 3",
                &["AF_UNIX", "SOCK_STREAM", "0"],
                " = 3",
            ),
            (") = 7", &[], " = 7"),
            (
                r#"1, "a, \")\" b", 5) = 5"#,
                &["1", r#""a, \")\" b""#, "5"],
                " = 5",
            ),
            (
                "AT_FDCWD, {st_mode=S_IFREG|0644, st_size=1, ...}, [1, 2], (3, 4)) = 0",
                &[
                    "AT_FDCWD",
                    "{st_mode=S_IFREG|0644, st_size=1, ...}",
                    "[1, 2]",
                    "(3, 4)",
                ],
                " = 0",
            ),
            (
                "3</dir, with)/a>, 4<TCP:[1.2.3.4:5->6.7.8.9:10]>, 5</dev/null<char 1:3>>) = 0",
                &[
                    "3</dir, with)/a>",
                    "4<TCP:[1.2.3.4:5->6.7.8.9:10]>",
                    "5</dev/null<char 1:3>>",
                ],
                " = 0",
            ),
            (
                "0x1 /* AF_UNIX, or ) */, 0) = 3",
                &["0x1 /* AF_UNIX, or ) */", "0"],
                " = 3",
            ),
            (
                "[{fd=4, events=POLLIN}], 1<<2, 0) = 1",
                &["[{fd=4, events=POLLIN}]", "1<<2", "0"],
                " = 1",
            ),
            ("3, ", &["3"], ""),
            (
                "[\"a\", \"]\"], 0x7ff /* 3 vars */) = 0",
                &["[\"a\", \"]\"]", "0x7ff /* 3 vars */"],
                " = 0",
            ),
        ];
        for (text, expected, rest) in cases {
            assert_eq!(
                arguments(text),
                (expected.iter().map(|&a| a.to_owned()).collect(), rest),
                "{text}"
            );
        }
    }

    #[test]
    fn values_of_what_strace_prints() {
        let cases: [(&str, &[u64]); 13] = [
            ("0", &[0]),
            ("AF_INET6", &[10]),
            ("0x2 /* AF_INET */", &[2]),
            ("TCGETS", &[0x5401]),
            ("TCGETS or SNDCTL_TMR_TIMEBASE", &[0x5401]),
            ("S_IFCHR|0666", &[0o20_666]),
            ("CLONE_VM|CLONE_VFORK|SIGCHLD", &[0x4111]),
            ("-1", &[0xffff_ffff, u64::MAX]),
            ("AT_FDCWD", &[0xffff_ff9c, 0xffff_ffff_ffff_ff9c]),
            ("AT_FDCWD</home>", &[0xffff_ff9c, 0xffff_ffff_ffff_ff9c]),
            ("3</path>", &[3]),
            ("NULL", &[0]),
            ("18446744073709551615", &[u64::MAX]),
        ];
        for (text, expected) in cases {
            assert_eq!(values(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "AF_DANCE",
            "{...}",
            "\"a\"",
            "",
            "AF_UNIX|AF_DANCE",
            "0xx",
            "99999999999999999999",
        ] {
            assert!(
                matches!(values(text), Err(ArgumentError::Unknown { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn the_flags_of_clone_are_its_first_argument() {
        let (arguments, _) = arguments("child_stack=NULL, flags=CLONE_VM|SIGCHLD) = 7");
        assert_eq!(text_of("clone", &arguments, 0), Ok("CLONE_VM|SIGCHLD"));
        assert_eq!(
            text_of("clone", &arguments, 1),
            Err(ArgumentError::Missing { index: 1 })
        );
        let raw = ["0x111".to_owned(), "0".to_owned()];
        assert_eq!(text_of("clone", &raw, 0), Ok("0x111"));
    }
}
