//! The client library with a real daemon, across restarts and connections.

use std::time::Duration;

use northstar_client::{
    Backoff, Connected, Endpoint, Event, Gap, Happening, Options, Reconnecting, RequestError,
    api::{Container, Exit, ExitReason, ExitStatus, Notification, Resume},
};
use northstar_tests::{PATIENCE, Package, Site};
use tokio::{runtime::Runtime, time::timeout};

const QUICK: Backoff = Backoff {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(50),
};

fn app() -> Container {
    "app:0.0.1".parse().unwrap()
}

fn endpoint(site: &Site) -> Endpoint {
    Endpoint::Unix(site.socket())
}

fn options() -> Options {
    Options::extended().with_notifications(100)
}

/// The next happening but for tries to connect.
async fn next(link: &mut Reconnecting) -> Happening {
    let next = async {
        loop {
            match link.next().await.unwrap() {
                Happening::Unreachable { .. } => {}
                other => return other,
            }
        }
    };
    timeout(PATIENCE, next).await.unwrap()
}

async fn connected(link: &mut Reconnecting) -> bool {
    match next(link).await {
        Happening::Connected(Connected { complete }) => complete,
        other => panic!("{other:?}"),
    }
}

/// Events up to the exit of the container, with their numbers.
async fn run(link: &mut Reconnecting) -> Vec<(u64, Notification)> {
    let mut events = Vec::new();
    loop {
        match next(link).await {
            Happening::Event(Event {
                sequence: Some(number),
                notification,
            }) => {
                let is_end = matches!(notification, Notification::Exit(..));
                events.push((number, notification));
                if is_end {
                    return events;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

fn ended() -> Notification {
    let exit = Exit {
        status: ExitStatus::Exit { code: 7 },
        reason: Some(ExitReason::OwnExit),
        requested_signal: None,
    };
    Notification::Exit(app(), exit)
}

async fn start(link: &Reconnecting) -> Result<(), RequestError> {
    let client = timeout(PATIENCE, link.handle().client()).await.unwrap()?;
    client.start(app()).await
}

/// Number and content of what a first run of the container brings.
fn first_run() -> Vec<(u64, Notification)> {
    let events = [
        Notification::Mounted(app()),
        Notification::Started(app()),
        ended(),
    ];
    (1..).zip(events).collect()
}

#[test]
fn numbers_that_begin_anew_are_a_restart_and_not_what_was_missed() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "7"]));
    let runtime = Runtime::new().unwrap();
    let daemon = site.start();
    let mut link = runtime.block_on(async { Reconnecting::new(endpoint(&site), options(), QUICK) });
    let before = runtime.block_on(async {
        assert!(connected(&mut link).await);
        start(&link).await.unwrap();
        assert_eq!(run(&mut link).await, first_run());
        link.position().unwrap().clone()
    });
    assert_eq!(before.sequence, 3);

    daemon.kill();
    let daemon = site.start();
    let after = runtime.block_on(async {
        let lost = next(&mut link).await;
        assert!(matches!(lost, Happening::Disconnected(_)), "{lost:?}");
        assert!(!connected(&mut link).await);
        let gap = next(&mut link).await;
        assert!(matches!(gap, Happening::Gap(Gap::Restarted)), "{gap:?}");
        // The numbers are those from before, and what they stand for is not taken for known.
        start(&link).await.unwrap();
        assert_eq!(run(&mut link).await, first_run());
        link.position().unwrap().clone()
    });
    assert_ne!(before.instance, after.instance);
    assert_eq!(after.sequence, 3);
    drop(link);
    let _entered = runtime.enter();
    // Another process that goes on after a position of the first daemon, even one that is yet to come in this one.
    for sequence in [3, 1000] {
        let position = Resume {
            sequence,
            ..before.clone()
        };
        let mut link = Reconnecting::new(endpoint(&site), options().resume(position), QUICK);
        runtime.block_on(async {
            assert!(!connected(&mut link).await);
            let gap = next(&mut link).await;
            assert!(matches!(gap, Happening::Gap(Gap::Restarted)), "{gap:?}");
            assert_eq!(link.position(), Some(&after));
        });
    }
    daemon.stop();
}

#[test]
fn what_happened_between_two_connections_is_told() {
    let site = Site::new();
    site.pack(&Package::app("app", &["exit", "7"]));
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let daemon = site.start();
    let mut link = Reconnecting::new(endpoint(&site), options(), QUICK);
    let seen = runtime.block_on(async {
        assert!(connected(&mut link).await);
        start(&link).await.unwrap();
        assert_eq!(run(&mut link).await, first_run());
        link.position().unwrap().clone()
    });
    drop(link);
    let mut console = daemon.console();
    console.start_ok("app:0.0.1");
    console.expect_exit("app:0.0.1");
    let mut link = Reconnecting::new(endpoint(&site), options().resume(seen), QUICK);
    runtime.block_on(async {
        assert!(connected(&mut link).await);
        let expected = [(4, Notification::Started(app())), (5, ended())];
        assert_eq!(run(&mut link).await, expected);
    });
    daemon.stop();
}
