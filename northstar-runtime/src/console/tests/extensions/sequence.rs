//! Numbered, chosen, lost and replayed notifications.

use super::*;

fn started(number: u64) -> Event {
    Event::Started(container(&format!("app:{number}.0.0")))
}

fn line(number: u64) -> String {
    format!(r#"{{"sequence":{number},"notification":{{"started":"app:{number}.0.0"}}}}"#)
}

fn publish(stage: &Stage, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| stage.script.events.send(started(number)));
}

fn resume(granted: &Value, sequence: u64) -> String {
    let instance = granted["instance"].as_str().unwrap();
    format!(r#"{{"sequence":true,"resume":{{"instance":"{instance}","sequence":{sequence}}}}}"#)
}

#[tokio::test]
async fn notifications_are_numbered_from_the_acknowledgement_on() {
    let stage = Stage::new(8);
    publish(&stage, 1..=3);
    let (mut client, granted) = stage.connect(true, r#"{"sequence":true}"#).await;
    assert_eq!(granted["sequence"], 3);
    publish(&stage, 4..=5);
    client.expect(&line(4)).await;
    client.expect(&line(5)).await;
}

#[tokio::test]
async fn who_comes_back_gets_what_it_has_missed() {
    let stage = Stage::new(8);
    let (mut client, granted) = stage.connect(true, r#"{"sequence":true}"#).await;
    publish(&stage, 1..=1);
    client.expect(&line(1)).await;
    drop(client);
    publish(&stage, 2..=4);
    let (mut client, again) = stage.connect(true, &resume(&granted, 1)).await;
    assert_eq!(
        (again["resumed"].as_bool(), again["sequence"].as_u64()),
        (Some(true), Some(4))
    );
    publish(&stage, 5..=5);
    for number in 2..=5 {
        client.expect(&line(number)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_not_pretended() {
    let stage = Stage::new(4);
    let (_client, granted) = stage.connect(true, r#"{"sequence":true}"#).await;
    publish(&stage, 1..=6);
    // Number 2 is overwritten; 7 was never; and another daemon counts anew.
    let mut foreign = granted.clone();
    foreign["instance"] = "00".repeat(16).into();
    for extensions in [
        resume(&granted, 1),
        resume(&granted, 7),
        resume(&foreign, 6),
    ] {
        let (_, again) = stage.connect(true, &extensions).await;
        assert_eq!(
            (again["resumed"].as_bool(), again["sequence"].as_u64()),
            (Some(false), Some(6)),
            "{extensions}"
        );
    }
    let (mut client, again) = stage.connect(true, &resume(&granted, 2)).await;
    assert_eq!(again["resumed"], true);
    client.expect(&line(3)).await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_and_stays() {
    let stage = Stage::new(4);
    let (mut client, _) = stage.connect(true, r#"{"sequence":true}"#).await;
    // Nothing in between lets the connection's task run.
    publish(&stage, 1..=12);
    client
        .expect(r#"{"sequence":8,"notification":{"lagged":{"missed":8}}}"#)
        .await;
    for number in 9..=12 {
        client.expect(&line(number)).await;
    }
    publish(&stage, 13..=13);
    client.expect(&line(13)).await;
}

#[tokio::test]
async fn only_what_passes_the_filter_is_sent() {
    let stage = Stage::new(8);
    let filter = r#"{"sequence":true,"details":true,"filter":{"containers":["app*"],"kinds":["mount","shutdown"]}}"#;
    let (mut client, _) = stage.connect(true, filter).await;
    let app = || container("app:1.0.0");
    for event in [
        Event::Mounted(container("other:1.0.0")),
        Event::Started(app()),
        Event::Mounted(app()),
        Event::Unmounted(app()),
        Event::Shutdown,
    ] {
        stage.script.events.send(event);
    }
    client
        .expect(r#"{"sequence":3,"notification":{"mounted":"app:1.0.0"}}"#)
        .await;
    client
        .expect(r#"{"sequence":5,"notification":"shutdown"}"#)
        .await;
}

#[tokio::test]
async fn a_filter_needs_no_numbers_and_a_flood_behind_it_is_harmless() {
    let stage = Stage::new(64);
    let filter = r#"{"filter":{"containers":["rare"]}}"#;
    let (mut client, granted) = stage.connect(true, filter).await;
    assert_eq!(granted["extensions"], json(r#"["filter"]"#));
    publish(&stage, 1..=60);
    stage
        .script
        .events
        .send(Event::Started(container("rare:1.0.0")));
    client
        .expect(r#"{"notification":{"started":"rare:1.0.0"}}"#)
        .await;
}
