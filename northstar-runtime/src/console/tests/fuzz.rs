//! Random conversations: whatever arrives in whatever pieces, every request in front of the first nonsense is answered
//! once, in its order, and the console goes on.

use super::*;
use proptest::{prelude::*, test_runner::TestRunner};

/// What a client may send next.
#[derive(Clone, Debug)]
enum Move {
    Ident,
    Kill(u16),
    Install(Vec<u8>),
    Nonsense(Vec<u8>),
}

fn a_move() -> impl Strategy<Value = Move> {
    // What could be a whole line of the protocol is no nonsense: it begins with what JSON never begins with.
    let nonsense = proptest::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        4 => Just(Move::Ident),
        4 => any::<u16>().prop_map(Move::Kill),
        2 => proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Move::Install),
        1 => nonsense.prop_map(|tail| Move::Nonsense([b"!".to_vec(), tail].concat())),
    ]
}

/// The bytes of a conversation and the responses they deserve.
fn script(moves: &[Move]) -> (Vec<u8>, Vec<Value>) {
    let mut bytes = format!("{CONNECT}\n").into_bytes();
    let mut responses = Vec::new();
    let mut sensible = true;
    for a_move in moves {
        let (line, response) = match a_move {
            Move::Ident => (
                request(r#""ident""#),
                r#"{"ident":"extern:0.0.0"}"#.to_owned(),
            ),
            Move::Kill(signal) => (
                request(&format!(
                    r#"{{"kill":{{"container":"app:1.0.0","signal":{signal}}}}}"#
                )),
                r#"{"kill":{"ok":{"container":"app:1.0.0"}}}"#.to_owned(),
            ),
            Move::Install(package) => (
                request(&format!(
                    r#"{{"install":{{"repository":"default","size":{}}}}}"#,
                    package.len()
                )),
                r#"{"install":{"ok":{"container":"new:0.0.1"}}}"#.to_owned(),
            ),
            Move::Nonsense(nonsense) => {
                bytes.extend_from_slice(nonsense);
                bytes.push(b'\n');
                sensible = false;
                continue;
            }
        };
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        if let Move::Install(package) = a_move {
            bytes.extend_from_slice(package);
        }
        if sensible {
            responses.push(json(&response));
        }
    }
    (bytes, responses)
}

#[test]
fn every_conversation_is_answered_up_to_its_first_nonsense() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Setup::default().start());
    let moves = proptest::collection::vec(a_move(), 0..12);
    let pieces = proptest::collection::vec(1..400usize, 1..8);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let outcome = runner.run(&(moves, pieces), |(moves, pieces)| {
        let (bytes, expected) = script(&moves);
        let responses = runtime.block_on(async {
            let (reading, mut writing) = server.unix().await.stream.into_inner().into_split();
            let write = async {
                let mut rest = bytes.as_slice();
                for piece in pieces.iter().cycle() {
                    let (now, later) = rest.split_at(rest.len().min(*piece));
                    // Whoever speaks nonsense is cut off.
                    if now.is_empty() || writing.write_all(now).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                    rest = later;
                }
                let _ = writing.shutdown().await;
            };
            let read = async {
                let mut lines = BufReader::new(reading).lines();
                let mut responses = Vec::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    responses.push(json(&line));
                }
                responses
            };
            let (responses, ()) = timeout(DEADLINE, async { tokio::join!(read, write) })
                .await
                .unwrap();
            responses
        });
        let mut messages = vec![json(r#"{"connect_ack":null}"#)];
        messages.extend(
            expected
                .into_iter()
                .map(|r| serde_json::json!({ "response": r })),
        );
        prop_assert_eq!(responses, messages);
        Ok(())
    });
    outcome.unwrap();
    runtime.block_on(server.stop());
}
