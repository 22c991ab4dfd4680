//! One conversation: who speaks, what is sent how, and what comes back.

use std::num::NonZeroU32;
use std::time::Duration;

use northstar_manifest::{Container, Permission, Permissions};
use northstar_runtime::config::{Address, ConnectionOptions, Listener, ListenerOptions};
use northstar_runtime::console::Console;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::stage::{self, Told};
use crate::recipe::Recipe;

/// The container that speaks, where one does.
pub const SPEAKER: &str = "speaker:1.0.0";

/// Longer than all deadlines together, with a clock that only runs while nothing else is to be done.
const AT_LAST: Duration = Duration::from_secs(7 * 24 * 3600);
/// When the daemon ends, for a client that stays.
const DAEMON_ENDS: Duration = Duration::from_secs(24 * 3600);

/// Who speaks, and how.
#[derive(Debug)]
pub struct Play<'a> {
    /// A container, not a process.
    pub is_container: bool,
    /// What it may do.
    pub permissions: Permissions,
    /// Its limits.
    pub options: ConnectionOptions,
    /// What it sends.
    pub stream: &'a [u8],
    /// In pieces of how many bytes.
    piece: usize,
    /// A pause after one of the pieces.
    pause: (usize, Duration),
    /// It reads nothing before it has sent everything.
    is_lazy: bool,
    /// Both directions hold a few bytes only.
    is_narrow: bool,
    /// It closes everything when it has sent everything.
    pub is_gone: bool,
    /// It closes nothing at all.
    pub stays: bool,
    /// How the supervisor is.
    pub stage: stage::Manner,
}

/// What came of it.
#[derive(Debug)]
pub struct Heard {
    /// Every byte that came back.
    pub bytes: Vec<u8>,
    /// What the supervisor was asked and has told.
    pub told: Told,
}

impl<'a> Play<'a> {
    /// Two bytes of yes and no, two of permissions, the size of the pieces, the pause, then the stream.
    pub fn of(input: &'a [u8]) -> Play<'a> {
        let mut recipe = Recipe::new(input);
        let flags = recipe.short();
        let is = |bit: u32| flags & 1 << bit != 0;
        let mask = recipe.short();
        let permissions = match is(0) {
            true => Permissions::full(),
            false => {
                let all = Permission::ALL.iter().enumerate();
                let granted = all.filter(|(bit, _)| mask & 1 << bit != 0);
                granted.map(|(_, permission)| *permission).collect()
            }
        };
        let piece = usize::from(recipe.byte()) * 4 + 1;
        let pause = (
            usize::from(recipe.byte()),
            Duration::from_secs(recipe.byte().into()),
        );
        let is_container = is(1);
        let options = match is_container {
            true => ConnectionOptions::for_containers(),
            false => ConnectionOptions::default(),
        };
        Play {
            is_container,
            permissions,
            options: if is(2) { small(options) } else { options },
            piece,
            pause,
            is_lazy: is(3),
            is_narrow: is(4),
            is_gone: is(5),
            stays: is(6),
            stage: stage::Manner {
                is_slow: is(7),
                ends_daemon: is(8),
                is_forgetful: is(9),
            },
            stream: recipe.rest(),
        }
    }

    /// Nothing makes the daemon end the conversation but what is said in it.
    pub fn is_patient(&self) -> bool {
        let is_quick = self.pause.1 < Duration::from_secs(10);
        let is_read = !(self.is_lazy && (self.is_narrow || self.stage.ends_daemon));
        is_quick && is_read && !self.is_gone && !self.stage.is_forgetful
    }

    /// Speaks, and returns what came of it.
    ///
    /// # Panics
    /// The conversation has no end.
    pub fn perform(&self) -> Heard {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            let (handle, script) = stage::script(self.stage);
            let console = Console::new(handle, cancel.clone()).expect("a console");
            let (ours, theirs) = duplex(if self.is_narrow { 16 } else { 64 * 1024 });
            let stage = tokio::spawn(stage::play(script, self.stage, cancel.clone()));
            let served = self.serve(&console, theirs);
            let end = async {
                sleep(DAEMON_ENDS).await;
                cancel.cancel();
                std::future::pending::<()>().await;
            };
            let conversation = async { tokio::join!(served, self.speak(ours)) };
            let ((), bytes) = tokio::select! {
                ended = timeout(AT_LAST, conversation) => ended.expect("an end of the conversation"),
                () = end => unreachable!("it goes on for ever"),
            };
            // Nobody can ask any more: the supervisor answers what is left and ends.
            drop(console);
            let told = timeout(AT_LAST, stage).await.expect("an end of the supervisor");
            Heard {
                bytes,
                told: told.expect("the supervisor does not panic"),
            }
        })
    }

    async fn serve(&self, console: &Console, stream: DuplexStream) {
        let (input, output) = split(stream);
        let permissions = self.permissions.clone();
        let options = self.options.clone();
        if self.is_container {
            let container: Container = SPEAKER.parse().expect("a container");
            console
                .play_container(container, permissions, options, input, output)
                .await;
            return;
        }
        let listener = Listener {
            address: Address::Unix {
                path: "/console".into(),
                mode: 0o600,
            },
            permissions,
            peers: Vec::new(),
            limits: ListenerOptions::default(),
            options,
        };
        console.play_process(&listener, 1000, input, output).await;
    }

    async fn speak(&self, stream: DuplexStream) -> Vec<u8> {
        let (mut input, mut output) = split(stream);
        if self.is_gone {
            self.send(&mut output).await;
            return Vec::new();
        }
        if self.is_lazy {
            self.send(&mut output).await;
            return hear(&mut input).await;
        }
        let (bytes, ()) = tokio::join!(hear(&mut input), self.send(&mut output));
        bytes
    }

    async fn send(&self, output: &mut WriteHalf<DuplexStream>) {
        for (index, piece) in self.stream.chunks(self.piece).enumerate() {
            // Whoever speaks nonsense is cut off.
            if output.write_all(piece).await.is_err() {
                return;
            }
            match self.pause {
                (after, pause) if after == index => sleep(pause).await,
                _ => tokio::task::yield_now().await,
            }
        }
        if !self.stays {
            let _ = output.shutdown().await;
        }
    }
}

/// Everything up to the end.
async fn hear(input: &mut ReadHalf<DuplexStream>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = input.read_to_end(&mut bytes).await;
    read.expect("memory can be read");
    bytes
}

/// Limits that a short input reaches.
fn small(options: ConnectionOptions) -> ConnectionOptions {
    ConnectionOptions {
        max_request_size: 160,
        max_requests_per_sec: NonZeroU32::MIN.saturating_add(2),
        max_npk_install_size: 24,
        ..options
    }
}
