//! Consoles over real sockets, in front of a supervisor that the test plays.

mod client;
mod extensions;
mod fuzz;
mod hostile;
mod installs;
mod lines;
mod matrix;
mod played;
mod sessions;
mod sockets;
mod tls;

use client::Client;
use played::{Record, exited, inspection, play, repositories, usage};

use super::{Console, Listening};
use crate::{
    config::{Address, ConnectionOptions, Listener, ListenerOptions},
    supervisor::{
        Error, Event, Exit, ExitReason, ExitStatus,
        script::{self, Asked, Publisher, Script},
    },
};
use northstar_manifest::{Container, Permissions};
use serde_json::Value;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes as long as this unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

const CONNECT: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":false}}"#;
const SUBSCRIBE: &str = r#"{"connect":{"version":"0.9.2","subscribe_notifications":true}}"#;

fn container(text: &str) -> Container {
    text.parse().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn request(request: &str) -> String {
    format!("{{\"request\":{request}}}")
}

/// A console with listeners, and the supervisor behind it.
struct Server {
    console: Console,
    listening: Listening,
    cancel: CancellationToken,
    record: Arc<Mutex<Record>>,
    events: Publisher,
    directory: tempfile::TempDir,
}

/// How a test wants its listeners.
#[derive(Clone)]
struct Setup {
    permissions: Permissions,
    limits: ListenerOptions,
    options: ConnectionOptions,
    /// Events kept for slow clients.
    events: usize,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            permissions: Permissions::full(),
            limits: ListenerOptions::default(),
            options: ConnectionOptions {
                max_requests_per_sec: 1_000_000.try_into().unwrap(),
                ..ConnectionOptions::default()
            },
            events: 64,
        }
    }
}

impl Setup {
    /// Serves a TCP and a Unix socket.
    async fn start(self) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let (handle, script) = script::script(self.events, &repositories());
        let events = script.events.clone();
        let record = Arc::<Mutex<Record>>::default();
        tokio::spawn(play(script, Arc::clone(&record)));
        let cancel = CancellationToken::new();
        let console = Console::new(handle, cancel.clone()).unwrap();
        let addresses = [
            Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 0,
            },
            Address::Unix {
                path: directory.path().join("console"),
                mode: 0o600,
            },
        ];
        let listeners = addresses.map(|address| Listener {
            address,
            permissions: self.permissions.clone(),
            peers: Vec::new(),
            limits: self.limits.clone(),
            options: self.options.clone(),
        });
        let listening = console.listen(&listeners).await.unwrap();
        Server {
            console,
            listening,
            cancel,
            record,
            events,
            directory,
        }
    }
}

impl Server {
    async fn tcp(&self) -> Client<TcpStream> {
        let address = self.listening.urls[0].strip_prefix("tcp://").unwrap();
        Client::new(TcpStream::connect(address).await.unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("console")
    }

    async fn unix(&self) -> Client<UnixStream> {
        Client::new(UnixStream::connect(self.socket()).await.unwrap())
    }

    /// The console of a container, with its end of the socket.
    fn container(
        &self,
        name: &str,
        permissions: Permissions,
        options: ConnectionOptions,
    ) -> Client<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let console = self.console.clone();
        let container = container(name);
        tokio::spawn(async move {
            console
                .serve_container(ours, container, permissions, options)
                .await;
        });
        Client::new(theirs)
    }

    fn asked(&self) -> Vec<String> {
        self.record.lock().unwrap().asked.clone()
    }

    /// The uploads so far, once there are `count` of them.
    async fn uploads(&self, count: usize) -> Vec<Option<Vec<u8>>> {
        let all = async {
            loop {
                let uploads = self.record.lock().unwrap().uploads.clone();
                if uploads.len() >= count {
                    return uploads;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, all).await.unwrap()
    }

    /// Ends the console and waits for all its tasks.
    async fn stop(mut self) {
        self.cancel.cancel();
        let ended = async {
            while let Some(task) = self.listening.tasks.join_next().await {
                task.unwrap();
            }
        };
        timeout(DEADLINE, ended).await.unwrap();
    }
}
