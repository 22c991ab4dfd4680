//! The broker.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use northstar_tests::eventually;
use tempfile::TempDir;

use crate::{Running, authority::Authority};

/// A mosquitto of the test's own. What it has to remember it keeps in a file.
pub struct Broker {
    pub directory: TempDir,
    pub port: u16,
    /// Of the listener with TLS, if there is one.
    pub tls: Option<u16>,
    process: Option<Running>,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::with(tempfile::tempdir().unwrap(), None, "")
    }

    /// A broker with a second listener, for clients that have a certificate of `authority`. Its files are in its directory.
    pub fn with_tls(authority: &Authority) -> Broker {
        let directory = tempfile::tempdir().unwrap();
        authority.write(directory.path());
        authority.issue(directory.path(), "broker");
        authority.issue(directory.path(), "client");
        let tls = free_port();
        let at = directory.path().display();
        let more = format!(
            "listener {tls} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/broker.pem\n\
             keyfile {at}/broker.key\nrequire_certificate true\n"
        );
        Broker::with(directory, Some(tls), &more)
    }

    /// `more` are lines of its configuration.
    fn with(directory: TempDir, tls: Option<u16>, more: &str) -> Broker {
        let port = free_port();
        let configuration = format!(
            "allow_anonymous true\nuser root\nlog_dest none\n\
             persistence true\npersistence_location {}/\nlistener {port} 127.0.0.1\n{more}",
            directory.path().display()
        );
        fs::write(directory.path().join("mosquitto.conf"), configuration).unwrap();
        let mut broker = Broker {
            directory,
            port,
            tls,
            process: None,
        };
        broker.run();
        broker
    }

    pub fn run(&mut self) {
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .spawn()
            .expect("mosquitto runs: it is in Debian's package of that name");
        self.process = Some(Running(child));
        for port in [Some(self.port), self.tls].into_iter().flatten() {
            eventually("the broker", || {
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
    }

    /// Ends it in order: with SIGTERM it writes down what it has to remember.
    pub fn stop(&mut self) {
        let mut process = self.process.take().unwrap();
        let status = Command::new("kill")
            .arg(process.0.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        eventually("the end of the broker", || process.0.try_wait().unwrap());
    }
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
