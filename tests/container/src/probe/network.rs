//! Families of sockets, interfaces, and what can be reached.

use std::{
    fs, io,
    net::{TcpListener, TcpStream, UdpSocket},
};

use nix::libc;

use super::{
    Findings,
    call::{Bytes, Number},
};

/// Name, family, kind and protocol, address_families(7).
const SOCKETS: &[(&str, i32, i32, i32)] = &[
    ("unix", libc::AF_UNIX, libc::SOCK_STREAM, 0),
    ("inet_stream", libc::AF_INET, libc::SOCK_STREAM, 0),
    ("inet_datagram", libc::AF_INET, libc::SOCK_DGRAM, 0),
    (
        "inet_raw",
        libc::AF_INET,
        libc::SOCK_RAW,
        libc::IPPROTO_ICMP,
    ),
    (
        "inet_ping",
        libc::AF_INET,
        libc::SOCK_DGRAM,
        libc::IPPROTO_ICMP,
    ),
    ("inet6_stream", libc::AF_INET6, libc::SOCK_STREAM, 0),
    (
        "inet6_raw",
        libc::AF_INET6,
        libc::SOCK_RAW,
        libc::IPPROTO_ICMPV6,
    ),
    ("packet", libc::AF_PACKET, libc::SOCK_RAW, 0),
    (
        "netlink_route",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_ROUTE,
    ),
    (
        "netlink_generic",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_GENERIC,
    ),
    (
        "netlink_netfilter",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_NETFILTER,
    ),
    (
        "netlink_audit",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_AUDIT,
    ),
    (
        "netlink_crypto",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_CRYPTO,
    ),
    ("alg", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
    ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    ("bluetooth", libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
    ("can", libc::AF_CAN, libc::SOCK_RAW, 1),
    ("key", libc::AF_KEY, libc::SOCK_RAW, 2),
    ("xdp", libc::AF_XDP, libc::SOCK_RAW, 0),
    ("tipc", libc::AF_TIPC, libc::SOCK_STREAM, 0),
    ("rds", libc::AF_RDS, libc::SOCK_SEQPACKET, 0),
    ("nfc", libc::AF_NFC, libc::SOCK_SEQPACKET, 1),
    ("x25", libc::AF_X25, libc::SOCK_SEQPACKET, 0),
    ("ax25", libc::AF_AX25, libc::SOCK_SEQPACKET, 0),
    ("appletalk", libc::AF_APPLETALK, libc::SOCK_DGRAM, 0),
];

pub fn probe(findings: &mut Findings) -> io::Result<()> {
    for (name, family, kind, protocol) in SOCKETS {
        let arguments = [*family, *kind, *protocol].map(|number| Number(i64::from(number)));
        findings.call(&format!("socket.{name}"), libc::SYS_socket, &arguments)?;
    }
    let [family, kind, protocol] =
        [libc::AF_INET, libc::SOCK_STREAM, 0].map(|number| Number(i64::from(number)));
    let pair = [family, kind, protocol, Bytes(&[0; 8])];
    findings.call("socket.inet_pair", libc::SYS_socketpair, &pair)?;

    let table = fs::read_to_string("/proc/net/dev")?;
    let mut interfaces: Vec<&str> = table
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    interfaces.sort_unstable();
    findings.note("network.interfaces", interfaces.join(","));
    let sockets = fs::read_to_string("/proc/net/unix")?;
    findings.note(
        "network.foreign_unix_sockets",
        sockets
            .lines()
            .skip(1)
            .filter(|line| line.contains('@'))
            .count(),
    );
    findings.note("network.sockets_from_elsewhere", elsewhere(&sockets)?);
    findings.attempt("network.loopback", TcpStream::connect(("127.0.0.1", 9)));
    let datagram =
        UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", "192.0.2.1:9"));
    findings.attempt("network.world", datagram);
    findings.attempt("network.low_port", TcpListener::bind("127.0.0.1:81"));
    Ok(())
}

/// How many sockets this process has that are not of its network: they lead into another one. `table` lists the Unix
/// sockets of this one, with the inode in the seventh column.
fn elsewhere(table: &str) -> io::Result<usize> {
    let of_here = |inode: &str| {
        let mut lines = table.lines().skip(1);
        lines.any(|line| line.split_whitespace().nth(6) == Some(inode))
    };
    let mut elsewhere = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        // The one of the directory itself is closed by the time it is looked at last.
        let Ok(link) = fs::read_link(entry?.path()) else {
            continue;
        };
        let link = link.to_string_lossy();
        let inode = link
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        elsewhere += usize::from(inode.is_some_and(|inode| !of_here(inode)));
    }
    Ok(elsewhere)
}
