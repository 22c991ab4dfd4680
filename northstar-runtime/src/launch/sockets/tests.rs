use super::{directory::is_no_directory, *};
use std::os::unix::{
    fs::{FileTypeExt, MetadataExt},
    net::{UnixDatagram, UnixStream},
};

fn manifest(kind: SocketKind) -> BTreeMap<String, Socket> {
    let socket = Socket {
        kind,
        mode: 0o620,
        uid: Some(1000),
        gid: None,
        passcred: None,
    };
    BTreeMap::from([("control".to_owned(), socket)])
}

fn bind(dir: &Path, kind: SocketKind) -> Sockets {
    Sockets::bind(
        dir,
        &"a:1.0.0".parse().unwrap(),
        (2000, 2001),
        &manifest(kind),
    )
    .unwrap()
}

/// What the container does.
fn listen(sockets: &Sockets) {
    rustix::net::listen(&sockets.descriptors["control"], 1).unwrap();
}

#[test]
fn socket_has_the_owner_and_mode_of_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = bind(dir.path(), SocketKind::Stream);
    let file = std::fs::metadata(dir.path().join("a:1.0.0/control")).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(
        (file.uid(), file.gid(), file.mode() & 0o7777),
        (1000, 2001, 0o620)
    );
    assert_eq!(sockets.descriptors.keys().collect::<Vec<_>>(), ["control"]);
}

#[test]
fn kind_and_credentials_are_those_of_the_manifest() {
    use rustix::net::sockopt::{socket_acceptconn, socket_passcred, socket_type};
    let container = "a:1.0.0".parse().unwrap();
    for (kind, expected) in [
        (SocketKind::Stream, SocketType::STREAM),
        (SocketKind::Datagram, SocketType::DGRAM),
        (SocketKind::SeqPacket, SocketType::SEQPACKET),
    ] {
        for passcred in [None, Some(false), Some(true)] {
            let dir = tempfile::tempdir().unwrap();
            let mut sockets = manifest(kind);
            sockets.get_mut("control").unwrap().passcred = passcred;
            let bound = Sockets::bind(dir.path(), &container, (2000, 2001), &sockets).unwrap();
            let socket = &bound.descriptors["control"];
            assert_eq!(socket_type(socket).unwrap(), expected);
            assert!(!socket_acceptconn(socket).unwrap());
            assert_eq!(socket_passcred(socket).unwrap(), passcred == Some(true));
        }
    }
}

#[test]
fn both_names_lead_to_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let sockets = bind(dir.path(), SocketKind::Stream);
    listen(&sockets);
    UnixStream::connect(dir.path().join("a:1.0.0/control")).unwrap();
    UnixStream::connect(dir.path().join(".all/a:1.0.0:control")).unwrap();
}

#[test]
fn datagram_socket_takes_messages() {
    let dir = tempfile::tempdir().unwrap();
    let _sockets = bind(dir.path(), SocketKind::Datagram);
    let client = UnixDatagram::unbound().unwrap();
    client
        .send_to(b"x", dir.path().join(".all/a:1.0.0:control"))
        .unwrap();
}

#[test]
fn names_go_with_the_container() {
    let dir = tempfile::tempdir().unwrap();
    let names = bind(dir.path(), SocketKind::SeqPacket).names;
    names.remove().unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, [".all"]);
    assert_eq!(
        std::fs::read_dir(dir.path().join(".all")).unwrap().count(),
        0
    );
}

#[test]
fn stale_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
    let sockets = bind(dir.path(), SocketKind::Stream);
    listen(&sockets);
    UnixStream::connect(dir.path().join(".all/a:1.0.0:control")).unwrap();
}

#[test]
fn reset_takes_stale_sockets_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
    std::fs::create_dir(dir.path().join("other")).unwrap();
    std::fs::create_dir(dir.path().join("b:1.0.0")).unwrap();
    std::fs::write(dir.path().join("b:1.0.0/file"), "").unwrap();
    reset(dir.path()).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, [".all", "b:1.0.0", "other"]);
    assert!(dir.path().join("b:1.0.0/file").exists());
    assert_eq!(
        std::fs::read_dir(dir.path().join(".all")).unwrap().count(),
        0
    );
}

#[test]
fn reset_leaves_what_is_no_directory_alone() {
    let dir = tempfile::tempdir().unwrap();
    let victim = tempfile::tempdir().unwrap();
    std::mem::forget(bind(dir.path(), SocketKind::Stream).names);
    let theirs = std::os::unix::net::UnixListener::bind(victim.path().join("socket")).unwrap();
    std::fs::write(dir.path().join("0:1.0.0"), "").unwrap();
    std::os::unix::fs::symlink(victim.path(), dir.path().join("b:1.0.0")).unwrap();
    std::os::unix::fs::symlink("b:1.0.0", dir.path().join("c:1.0.0")).unwrap();
    reset(dir.path()).unwrap();
    let left = ["0:1.0.0", "b:1.0.0", "c:1.0.0"];
    for name in left {
        dir.path().join(name).symlink_metadata().unwrap();
    }
    assert!(!dir.path().join("a:1.0.0").exists());
    UnixStream::connect(victim.path().join("socket")).unwrap();
    drop(theirs);
    let owner = (0, 0);
    let taken = Sockets::bind(
        dir.path(),
        &"b:1.0.0".parse().unwrap(),
        owner,
        &manifest(SocketKind::Stream),
    );
    match taken {
        Err(SocketError { source, .. }) => assert!(is_no_directory(&source), "{source}"),
        Ok(bound) => panic!("{bound:?}"),
    }
}
