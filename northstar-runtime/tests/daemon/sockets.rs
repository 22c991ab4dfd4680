//! Sockets that the daemon binds for containers.

use crate::harness::{SLEEP, Site};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, sockopt};
use serde_json::json;

#[test]
fn sockets_are_bound_and_shown_while_the_container_runs() {
    let site = Site::new();
    let sockets = "sockets: {control: {type: stream, mode: 0o666}}";
    let script =
        "[ -S /proc/self/fd/$NORTHSTAR_SOCKET_control ] || exit 1; while :; do sleep 1; done";
    let server = site.shell("server", script, sockets, "");
    let list = "ls /sockets > /data/seen";
    let mounts = "  /sockets: {type: sockets}\n  /data: {type: persist}\n";
    let client = site.shell("client", list, "", mounts);
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&server), None);
    std::os::unix::net::UnixStream::connect(site.path("run/sockets/server:0.0.1/control")).unwrap();
    assert_eq!(console.start(&client), None);
    assert_eq!(console.exit_of(&client), json!({"exit": {"code": 0}}));
    let seen = || std::fs::read_to_string(site.path("data/default/client/seen")).unwrap();
    assert_eq!(seen(), "server:0.0.1:control\n");

    assert_eq!(console.kill(&server, 9), None);
    console.exit_of(&server);
    assert_eq!(console.start(&client), None);
    console.exit_of(&client);
    assert_eq!(seen(), "");
    assert!(!site.path("run/sockets/server:0.0.1").exists());
}

/// With CAP_NET_ADMIN a socket gives a descriptor of the file it is bound to (SIOCUNIXFILE), on a mount that the container does
/// not have. Who may connect is said by the manifest all the same.
#[test]
fn file_of_a_socket_cannot_be_changed_by_its_container() {
    let site = Site::new();
    let gifts = "sockets: {control: {type: stream, mode: 0o600}}\n\
                 capabilities: [CAP_NET_ADMIN, CAP_CHOWN, CAP_FOWNER]";
    // Ends with the errno of each attempt in a file of its own.
    let script = r#"exec perl -e '
        open(my $socket, "+<&=", $ENV{NORTHSTAR_SOCKET_control}) or exit 1;
        my $file = ioctl($socket, 0x89e0, 0) or exit 2;
        open(my $said, ">", "/data/said") or exit 3;
        $! = 0; chmod(0777, "/proc/self/fd/$file"); printf $said "%d ", $!;
        $! = 0; chown(0, 0, "/proc/self/fd/$file"); printf $said "%d ", $!;
        print $said readlink("/proc/self/fd/$file");'"#;
    let server = site.shell("server", script, gifts, "  /data: {type: persist}\n");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&server), None);
    assert_eq!(console.exit_of(&server), json!({"exit": {"code": 0}}));
    let said = std::fs::read_to_string(site.path("data/default/server/said")).unwrap();
    let refused = nix::libc::EROFS;
    assert_eq!(said, format!("{refused} {refused} /control"));
}

/// The daemon, which is root, has made the socket and listens first; peers must not take the container for it.
#[test]
fn peers_of_a_socket_see_the_ids_of_its_container() {
    let site = Site::new();
    let sockets =
        "sockets: {stream: {type: stream, mode: 0o666}, packets: {type: seq_packet, mode: 0o666}}";
    let server = site.shell("server", SLEEP, sockets, "");
    let daemon = site.daemon();
    let mut console = daemon.console();
    assert_eq!(console.start(&server), None);
    for (name, kind) in [
        ("stream", SocketType::STREAM),
        ("packets", SocketType::SEQPACKET),
    ] {
        let path = site.path(&format!("run/sockets/server:0.0.1/{name}"));
        let socket = rustix::net::socket(AddressFamily::UNIX, kind, None).unwrap();
        rustix::net::connect(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        let peer = sockopt::socket_peercred(&socket).unwrap();
        assert_eq!(
            (peer.uid.as_raw(), peer.gid.as_raw()),
            (1000, 1000),
            "{name}"
        );
        let program = std::fs::read_to_string(format!("/proc/{}/comm", peer.pid)).unwrap();
        assert_eq!(program, "sh\n", "{name}");
    }
}
