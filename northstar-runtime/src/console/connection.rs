//! One connection, from its first byte to its end.
//!
//! Two futures in one task: one serves the requests in their order, the other writes the answers and notifications. So
//! notifications go out while a request is being worked on, and a package is read even while the client reads nothing.

use super::{
    Context,
    agreed::{Agreed, Subscription},
    answers::Held,
    budget::Share,
    handshake,
    handshake::HandshakeError,
    input::Input,
    output::{self, Notifications, WriteError},
    peer::Peer,
    requests::{self, End},
    session::Session,
    slots::{Established, Full, Pending},
    translate,
};
use crate::{
    config::{ConnectionOptions, ListenerOptions},
    supervisor::{Asker, report},
};
use northstar_api::{Connect, ConnectNack, Message};
use northstar_manifest::Permissions;
use std::{
    io,
    pin::{Pin, pin},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::debug;

/// How long a client may take to read the rest when the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client may take to close a connection that the daemon has ended.
const FAREWELL: Duration = Duration::from_millis(250);
/// What a client may still send then.
const FAREWELL_BYTES: u64 = 64 * 1024;

/// Characters of an error that are logged.
const LONGEST_LOG: usize = 256;

/// A client that has connected.
pub(super) struct Client {
    pub peer: Peer,
    pub permissions: Permissions,
    pub options: ConnectionOptions,
    /// Its place at the listener; containers have none.
    pub pending: Option<Pending>,
    /// What it shares with the other connections of the listener.
    pub limits: Option<ListenerOptions>,
    /// Memory for its long lines and its answers.
    pub share: Share,
    /// When `connect` has to be complete; `None` gives it all the time. It includes whatever comes before the first line.
    pub connect_by: Option<Instant>,
}

impl Client {
    /// Resolves when the client has no more time to say who it is, and says why. For everything that comes before
    /// `connect`.
    pub(super) async fn given_up(&self, context: &Context) -> Refusal {
        let evicted = async {
            match &self.pending {
                Some(pending) => pending.evicted().await,
                None => std::future::pending().await,
            }
        };
        let late = async {
            match self.connect_by {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = context.cancel.cancelled() => Refusal::Cancelled,
            () = evicted => Refusal::Evicted,
            () = late => Refusal::Late,
        }
    }
}

/// Why a connection never served a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the daemon ends")]
    Cancelled,
    #[error("it made place for a newer one")]
    Evicted,
    #[error("no `connect` in time")]
    Late,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Full(#[from] Full),
    #[error("refused: {0:?}")]
    Nack(ConnectNack),
    #[error("the connection broke")]
    Io(#[from] io::Error),
    #[error("the client does not read")]
    Stalled,
}

/// Why an established connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Requests(#[from] End),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Serves a client until the connection ends, for whatever reason.
pub(super) async fn serve<R, W>(input: R, mut output: W, mut client: Client, context: Context)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut input = Input::new(input, client.share.clone());
    let greeted = match greet(&mut input, &mut output, &mut client, &context).await {
        Ok(accepted) => accepted,
        Err(refusal) => {
            debug!(
                "{}: connection refused: {}",
                client.peer,
                loggable(&refusal)
            );
            return;
        }
    };
    debug!(
        "{}: connected, permissions: {}",
        client.peer, client.permissions
    );
    let ended = converse(&mut input, output, &client, &context, &greeted).await;
    debug!("{}: disconnected: {}", client.peer, loggable(&ended));
}

/// An error for the log. The parser's errors repeat what the client sent: it shall write neither lines of its own nor
/// long ones. They are below the default level anyway, because connecting is all it takes to cause one.
fn loggable(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    for c in report(error).chars().take(LONGEST_LOG) {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}

/// What a handshake came to.
struct Greeted {
    connect: Connect,
    agreed: Agreed,
    place: Option<Established>,
}

/// The handshake.
async fn greet<R, W>(
    input: &mut Input<R>,
    output: &mut W,
    client: &mut Client,
    context: &Context,
) -> Result<Greeted, Refusal>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let connect = tokio::select! {
        refusal = client.given_up(context) => return Err(refusal),
        connect = handshake::receive(input) => connect?,
    };
    let agreed = connect.and_then(|connect| {
        handshake::judge(&connect, &client.permissions)?;
        Ok((Agreed::on(&connect)?, connect))
    });
    let (agreed, connect) = match agreed {
        Ok(agreed) => agreed,
        Err(nack) => {
            let message = Message::ConnectNack(nack.clone());
            timeout(LAST_WORDS, send(output, message))
                .await
                .map_err(|_| Refusal::Stalled)??;
            output.shutdown().await?;
            input.drain(Instant::now() + FAREWELL, FAREWELL_BYTES).await;
            return Err(Refusal::Nack(nack));
        }
    };
    let place = match (client.pending.take(), client.peer.origin()) {
        (Some(pending), Some(origin)) => Some(pending.establish(origin)?),
        _ => None,
    };
    Ok(Greeted {
        connect,
        agreed,
        place,
    })
}

async fn send<W: AsyncWrite + Unpin>(output: &mut W, message: Message) -> io::Result<()> {
    let line = translate::line(&message.into()).map_err(io::Error::other)?;
    output.write_all(&line).await
}

/// Everything after the handshake.
async fn converse<R, W>(
    input: &mut Input<R>,
    output: W,
    client: &Client,
    context: &Context,
    greeted: &Greeted,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    // Before the acknowledgement: what happens after the client has it, it will be told.
    let Greeted {
        connect,
        agreed,
        place,
    } = greeted;
    // A container has one connection.
    let asker = place
        .as_ref()
        .map_or_else(Asker::default, Established::asker);
    let context = &context.by(asker);
    let subscription = Subscription::new(connect, agreed, context);
    let acknowledgement = agreed.acknowledge(client, context, &subscription);
    let notifications = Notifications {
        events: subscription.events,
        agreed,
    };
    let (outbox, mut output) =
        output::outbox(output, client.options.stall_timeout, client.share.clone());
    let requests = async {
        // Gone when this future is done: then the other one finishes.
        let outbox = outbox;
        let acknowledgement = Message::ConnectAck(acknowledgement);
        if let Err(error) = outbox.send(acknowledgement, Held::default()) {
            return error.into();
        }
        let session = Session::new(client, context, agreed, &outbox);
        let subscribed = connect.subscribe_notifications;
        let requests = requests::serve(&session, &mut *input, subscribed, place.as_ref());
        tokio::select! {
            biased;
            end = requests => end,
            () = context.cancel.cancelled() => End::Cancelled,
        }
    };
    let ended = until_either_ends(
        pin!(requests),
        pin!(output.deliver(notifications)),
        client.options.stall_timeout,
    )
    .await;
    let (patience, most) = match &ended {
        Ended::Requests(End::Closed) | Ended::Write(_) => return ended,
        // The client is still sending a package, and looks for the answer when it has sent all of it.
        Ended::Requests(End::Oversized { size }) => (client.options.stall_timeout, *size),
        Ended::Requests(_) => (FAREWELL, FAREWELL_BYTES),
    };
    output.close().await;
    let deadline = Instant::now() + patience;
    let cancelled = async {
        context.cancel.cancelled().await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        () = input.drain(deadline, most) => {}
        () = cancelled => {}
    }
    ended
}

/// Serves requests and delivers what comes of them. A client may take up to `stall` to read the last of that.
async fn until_either_ends(
    requests: Pin<&mut impl Future<Output = End>>,
    mut delivery: Pin<&mut impl Future<Output = Result<(), WriteError>>>,
    stall: Duration,
) -> Ended {
    tokio::select! {
        biased;
        end = requests => {
            let patience = match end {
                End::Cancelled => LAST_WORDS,
                _ => stall,
            };
            // What was answered is still sent; the reason for the end stays the first one.
            let _ = timeout(patience, &mut delivery).await;
            Ended::Requests(end)
        }
        delivered = &mut delivery => match delivered {
            Ok(()) => Ended::Requests(End::Closed),
            Err(error) => Ended::Write(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use northstar_api::codec;

    #[test]
    fn a_client_cannot_write_into_the_log() {
        let line = br#"{"request":"a\nERROR \u001b[31m fake"}"#;
        let malformed = End::from(codec::decode(line).unwrap_err());
        let text = loggable(&malformed);
        assert!(text.contains(r"a\nERROR \u{1b}[31m fake"), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
        let long = format!(r#"{{"request":"{}"}}"#, "\u{202e}".repeat(100_000));
        let malformed = End::from(codec::decode(long.as_bytes()).unwrap_err());
        assert_eq!(loggable(&malformed).chars().count(), LONGEST_LOG);
    }
}
