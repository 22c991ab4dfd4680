//! Consoles over real sockets, in front of a supervisor that the test plays.

mod extensions;
mod fuzz;
mod hostile;
mod installs;
mod lines;
mod matrix;
mod sessions;
mod sockets;
mod tls;

use super::{Console, Listening};
use crate::{
    config::{Address, ConnectionOptions, Listener, ListenerOptions},
    supervisor::{
        Asker, Error, Event, Exit, ExitReason, ExitStatus, Inspection, Process, Protection,
        RepositoryFacts, State, Statistics, Usage,
        script::{self, Asked, Publisher, Script},
    },
};
use northstar_manifest::{Container, Manifest, Permissions};
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

/// The repositories of the played supervisor.
fn repositories() -> [RepositoryFacts; 2] {
    let facts = |name: &str, in_memory, protection| RepositoryFacts {
        id: name.parse().unwrap(),
        in_memory,
        protection,
    };
    [
        facts("default", false, Protection::DmVerity),
        facts("deaf", true, Protection::None),
    ]
}

/// What the played supervisor was asked, and the bytes of the uploads that got to their end.
#[derive(Debug, Default)]
struct Record {
    asked: Vec<String>,
    uploads: Vec<Option<Vec<u8>>>,
    /// Who asked for each `inspect`.
    askers: Vec<Asker>,
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

/// A client that speaks lines.
struct Client<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Client<S> {
        Client {
            stream: BufReader::new(stream),
        }
    }

    async fn raw(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    async fn send(&mut self, line: &str) {
        self.raw(format!("{line}\n").as_bytes()).await;
    }

    /// The next message; `None` if the server has closed.
    async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match timeout(DEADLINE, self.stream.read_line(&mut line))
            .await
            .unwrap()
        {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            // What was not read by the server is reset.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn expect(&mut self, message: &str) {
        assert_eq!(self.next().await, Some(json(message)));
    }

    async fn closed(&mut self) {
        assert_eq!(self.next().await, None);
    }

    async fn connect(mut self) -> Client<S> {
        self.send(CONNECT).await;
        self.expect(r#"{"connect_ack":null}"#).await;
        self
    }

    async fn subscribe(mut self) -> Client<S> {
        self.send(SUBSCRIBE).await;
        self.expect(r#"{"connect_ack":null}"#).await;
        self
    }

    /// One request and its response.
    async fn ask(&mut self, line: &str) -> Value {
        self.send(&request(line)).await;
        self.next().await.unwrap()["response"].take()
    }

    /// The connection works.
    async fn works(&mut self) {
        assert_eq!(
            self.ask(r#""ident""#).await,
            json(r#"{"ident":"extern:0.0.0"}"#)
        );
    }
}

/// Knows `app:1.0.0`, whatever is done to it, and the repository `default`. The repository `deaf` refuses an upload
/// after its first bytes.
async fn play(mut script: Script, record: Arc<Mutex<Record>>) {
    let app = container("app:1.0.0");
    let known = |asked: &Container| match asked == &app {
        true => Ok(()),
        false => Err(Error::InvalidContainer {
            container: asked.clone(),
        }),
    };
    let events = script.events.clone();
    while let Some(asked) = script.next().await {
        record.lock().unwrap().asked.push(describe(&asked));
        // A test that does not wait for its answer is no failure.
        match asked {
            Asked::List(reply) => {
                drop(reply.send([app.clone(), container("lib:0.1.0")].into()));
            }
            Asked::Repositories(reply) => {
                drop(reply.send(vec!["default".parse().unwrap(), "deaf".parse().unwrap()]));
            }
            Asked::Inspect(container, reply) => {
                record.lock().unwrap().askers.push(reply.asker());
                drop(reply.send(known(&container).map(|()| inspection())));
            }
            Asked::Statistics(_, reply) => drop(reply.send(vec![usage()])),
            Asked::Cancelled => {}
            Asked::Mount(container, reply)
            | Asked::Umount(container, reply)
            | Asked::Kill(container, _, reply)
            | Asked::Uninstall(container, _, reply) => drop(reply.send(known(&container))),
            Asked::Start(container, _, reply) => {
                if known(&container).is_ok() {
                    events.send(Event::Started(container.clone()));
                }
                drop(reply.send(known(&container)));
            }
            Asked::Install(repository, _, reply) => {
                let record = Arc::clone(&record);
                match repository.as_str() {
                    "default" => {
                        let (slot, uploading) = script::upload(repository, reply.job());
                        drop(reply.send(Ok(slot)));
                        tokio::spawn(async move {
                            let bytes = uploading.finish(Ok(container("new:0.0.1"))).await;
                            record.lock().unwrap().uploads.push(bytes);
                        });
                    }
                    "deaf" => {
                        let (slot, uploading) = script::upload(repository, reply.job());
                        uploading.refuse(Error::InstallDuplicate {
                            container: app.clone(),
                        });
                        drop(reply.send(Ok(slot)));
                    }
                    _ => drop(reply.send(Err(Error::InvalidRepository { repository }))),
                }
            }
            Asked::Shutdown => events.send(Event::Shutdown),
        }
    }
}

fn exited(container: &Container, status: ExitStatus) -> Event {
    let reason = ExitReason::OwnExit;
    Event::Exited(container.clone(), Exit { status, reason })
}

fn describe(asked: &Asked) -> String {
    match asked {
        Asked::List(_) => "list".to_owned(),
        Asked::Repositories(_) => "repositories".to_owned(),
        Asked::Inspect(container, _) => format!("inspect {container}"),
        Asked::Statistics(containers, _) => format!("statistics {containers:?}"),
        Asked::Cancelled => "cancelled".to_owned(),
        Asked::Mount(container, _) => format!("mount {container}"),
        Asked::Umount(container, _) => format!("umount {container}"),
        Asked::Start(container, overrides, _) => format!(
            "start {container} {:?} {:?} {:?}",
            overrides.init, overrides.arguments, overrides.environment
        ),
        Asked::Kill(container, signal, _) => format!("kill {container} {signal}"),
        Asked::Install(repository, size, _) => format!("install {repository} {size}"),
        Asked::Uninstall(container, wipe, _) => format!("uninstall {container} {wipe}"),
        Asked::Shutdown => "shutdown".to_owned(),
    }
}

fn usage() -> Usage {
    Usage {
        container: container("app:1.0.0"),
        mounted: true,
        starts: 3,
        process: inspection().process,
    }
}

fn inspection() -> Inspection {
    let name = "app".parse().unwrap();
    let mut manifest = Manifest::new(name, "1.0.0".parse().unwrap(), 1000, 100_000);
    manifest.init = Some("/app".to_owned());
    Inspection {
        manifest: Arc::new(manifest),
        repository: "default".parse().unwrap(),
        mounted: true,
        integrity: Protection::FullRead,
        skipped: vec!["/opt".to_owned()],
        state: State::Running,
        starts: 3,
        last_exit: Some(Exit {
            status: ExitStatus::Signalled(9),
            reason: ExitReason::OutOfMemory,
        }),
        process: Some(Process {
            pid: 42,
            uptime: Duration::from_secs(1),
            statistics: Statistics::default(),
        }),
    }
}
