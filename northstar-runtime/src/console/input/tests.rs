use super::*;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

const LIMITS: LineLimits = LineLimits {
    length: 32,
    idle: Some(Duration::from_secs(60)),
    stall: Duration::from_secs(5),
};

fn input(share: usize) -> (DuplexStream, Input<DuplexStream>) {
    let (client, server) = duplex(1 << 20);
    (client, Input::new(server, Share::alone(share)))
}

async fn next(input: &mut Input<DuplexStream>) -> Option<Bytes> {
    input.line(LIMITS).await.unwrap().map(|line| line.text)
}

async fn raw(input: &mut Input<DuplexStream>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = input.raw(&mut (&mut bytes).limit(most)).await.unwrap();
    assert_eq!(size, bytes.len());
    bytes
}

#[tokio::test(start_paused = true)]
async fn lines_are_separated_however_they_arrive() {
    let (mut client, mut input) = input(0);
    client.write_all(b"one\ntwo\r\n\nfo").await.unwrap();
    assert_eq!(next(&mut input).await.unwrap(), "one");
    assert_eq!(next(&mut input).await.unwrap(), "two");
    assert_eq!(next(&mut input).await.unwrap(), "");
    client.write_all(b"ur\n").await.unwrap();
    drop(client);
    assert_eq!(next(&mut input).await.unwrap(), "four");
    assert_eq!(next(&mut input).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_line_of_the_longest_length_passes_and_one_byte_more_does_not() {
    for end in ["\n", "\r\n"] {
        let (mut client, mut input) = input(0);
        let line = "x".repeat(32);
        client
            .write_all(format!("{line}{end}{line}x{end}").as_bytes())
            .await
            .unwrap();
        assert_eq!(next(&mut input).await.unwrap(), line);
        let error = input.line(LIMITS).await.unwrap_err();
        assert!(matches!(error, LineError::TooLong(32)), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_without_end_is_refused_before_it_ends() {
    let (mut client, mut input) = input(0);
    client.write_all(&[b'x'; 34]).await.unwrap();
    let error = input.line(LIMITS).await.unwrap_err();
    assert!(matches!(error, LineError::TooLong(32)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_off_by_the_end_is_no_line() {
    let (mut client, mut input) = input(0);
    client.write_all(b"one").await.unwrap();
    drop(client);
    let error = input.line(LIMITS).await.unwrap_err();
    assert!(matches!(error, LineError::Truncated), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn silence_and_slowness_have_their_own_deadlines() {
    let (mut client, mut input) = input(0);
    let started = Instant::now();
    let error = input.line(LIMITS).await.unwrap_err();
    assert!(matches!(error, LineError::Idle(_)), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 60);

    // One byte per second is not progress enough: the deadline is the line's, not the byte's.
    let started = Instant::now();
    let trickle = async {
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let error = tokio::select! {
        line = input.line(LIMITS) => line.unwrap_err(),
        () = trickle => panic!("the pipe broke"),
    };
    assert!(matches!(error, LineError::Stalled(_)), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn raw_bytes_end_where_they_end_and_a_line_follows() {
    let (mut client, mut input) = input(0);
    client.write_all(b"head\nraw\nbytesnext\n").await.unwrap();
    assert_eq!(next(&mut input).await.unwrap(), "head");
    assert_eq!(raw(&mut input, 4).await, b"raw\n");
    assert_eq!(raw(&mut input, 5).await, b"bytes");
    assert_eq!(next(&mut input).await.unwrap(), "next");
    drop(client);
    assert_eq!(raw(&mut input, 1).await, b"");
}

/// 60 KiB.
fn long() -> Vec<u8> {
    [vec![b'x'; 60 * 1024], b"\n".to_vec()].concat()
}

const LONG_LIMITS: LineLimits = LineLimits {
    length: 64 * 1024,
    ..LIMITS
};

#[tokio::test(start_paused = true)]
async fn long_lines_wait_for_each_other() {
    // Room for one long line beyond what is free.
    let share = Share::alone(64 * 1024);
    let (mut client, server) = duplex(1 << 20);
    let mut first = Input::new(server, share.clone());
    client.write_all(&long()).await.unwrap();
    let held = first.line(LONG_LIMITS).await.unwrap().unwrap();
    assert_eq!(held.text.len(), 60 * 1024);
    assert!(held.memory.is_some());

    let (mut client, server) = duplex(1 << 20);
    let mut second = Input::new(server, share.clone());
    client.write_all(b"short\n").await.unwrap();
    let short = second.line(LONG_LIMITS).await.unwrap().unwrap();
    assert_eq!(short.text, "short");
    client.write_all(&long()).await.unwrap();
    let waited = Instant::now();
    let error = second.line(LONG_LIMITS).await.unwrap_err();
    assert!(matches!(error, LineError::Stalled(_)), "{error:?}");
    assert_eq!(waited.elapsed().as_secs(), 5);

    drop((held, second));
    let (mut client, server) = duplex(1 << 20);
    let mut third = Input::new(server, share);
    client.write_all(&long()).await.unwrap();
    let line = third.line(LONG_LIMITS).await.unwrap().unwrap();
    assert_eq!(line.text.len(), 60 * 1024);
}

#[tokio::test(start_paused = true)]
async fn long_lines_that_arrive_together_are_all_served() {
    let share = Share::alone(64 * 1024);
    let mut lines = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, server) = duplex(4 * 1024);
        let mut input = Input::new(server, share.clone());
        lines.spawn(async move {
            let bytes = long();
            let (sent, line) = tokio::join!(client.write_all(&bytes), input.line(LONG_LIMITS));
            sent.unwrap();
            line.unwrap().unwrap().text.len()
        });
    }
    let lengths = lines.join_all().await;
    assert_eq!(lengths, [60 * 1024; 8]);
}

/// Two origins fill everything there is with lines that they never end. A third one is served all the same.
#[tokio::test(start_paused = true)]
async fn who_fills_all_memory_together_loses_it() {
    use super::super::{budget::Budget, peer::Origin};
    let budget = Budget::new();
    let limits = LineLimits {
        length: crate::config::MAX_REQUEST_SIZE,
        idle: None,
        stall: Duration::from_secs(3600),
    };
    let mut greedy = tokio::task::JoinSet::new();
    for uid in [1, 1, 2, 2] {
        let (mut client, server) = duplex(64 * 1024);
        let mut input = Input::new(server, budget.share(Origin::User(uid)));
        greedy.spawn(async move {
            client.write_all(&[b'x'; 32 * 1024]).await.unwrap();
            let error = input.line(limits).await.unwrap_err();
            assert!(matches!(error, LineError::Recalled), "{error:?}");
            drop(client);
        });
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (mut client, server) = duplex(64 * 1024);
    let mut input = Input::new(server, budget.share(Origin::User(3)));
    let asked = Instant::now();
    let bytes = long();
    let (sent, line) = tokio::join!(client.write_all(&bytes), input.line(limits));
    sent.unwrap();
    assert_eq!(line.unwrap().unwrap().text.len(), 60 * 1024);
    assert!(
        asked.elapsed() <= Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
}
