//! A flood from 200 callers of which every tenth is hostile. How much memory it takes is printed
//! by the example `flood`.

use std::collections::BTreeSet;
use std::time::Duration;

use leoma_synapse::AxonLimits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::crowd::{self, Crowd, Echo};

/// What [`crowd::Outcomes`] says where a connection was closed without an answer.
const CLOSED: u16 = 0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_loses_no_honest_request_and_brings_no_replay_in() {
    let crowd = Crowd { honest: 180, hostile: 20, requests: 5, connections: 4, text_bytes: 2000 };
    let limits = AxonLimits {
        places: 40,
        places_of_one: 2,
        header_time: Duration::from_secs(5),
        body_time: Duration::from_secs(5),
        body_bytes: 128 * 1024,
        ..AxonLimits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (echo, stop) = (Echo::default(), CancellationToken::new());
    let axon = crowd::axon(crowd, limits, echo.clone());
    let serving = tokio::spawn(axon.serve(listener, stop.clone()));

    let outcomes = crowd::run(crowd, port).await;

    assert_eq!(outcomes.lost, Vec::<String>::new());
    assert_eq!(outcomes.answered.len(), 900);
    assert_eq!(echo.twice(), 0, "a replay was answered");
    assert!((2..=limits.places).contains(&echo.most()), "{} at a time", echo.most());
    // The hostile were there all the time, and came to what they deserve. Who floods under its own
    // hotkey also gets 401: a request is refused once `MAX_NONCES_OF_ONE` have overtaken it.
    let ends = |kind| -> BTreeSet<u16> {
        let ends = outcomes.hostile.keys().filter(|(attack, _)| *attack == kind);
        ends.map(|(_, status)| *status).collect()
    };
    for (kind, expected) in [
        ("no signature", &[401][..]),
        ("another's hotkey", &[401]),
        ("replay", &[200, 401, 429]),
        ("endless body", &[401, 408, 413, 429, CLOSED]),
        ("slow body", &[408, 429, CLOSED]),
        ("half a head", &[CLOSED]),
        ("endless head", &[431, CLOSED]),
        ("too many at a time", &[200, 401, 429]),
        ("nested body", &[400, 401, 408, 429, CLOSED]),
        ("hangs up", &[CLOSED]),
    ] {
        let ends = ends(kind);
        assert!(outcomes.begun[kind] > 0, "{kind} was not there");
        assert!(ends.iter().all(|end| expected.contains(end)), "{kind}: {ends:?}");
    }
    let replays = outcomes.hostile[&("replay", 401)];
    assert!(replays > 0, "no replay was refused");
    stop.cancel();
    serving.await.unwrap();
}
