//! The inputs that fuzzing keeps, through the same checks, in every run of the tests. Fuzzing
//! itself is in `protocol/fuzz`.
#![allow(dead_code, reason = "only fuzzing uses the seeds")]

#[path = "../../fuzz/src/core.rs"]
mod core;
#[path = "../../fuzz/src/decoders.rs"]
mod decoders;

use std::path::Path;

use self::core::kit;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new("fuzz/corpus").join(target);
    let inputs =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    for input in inputs {
        let path = input.unwrap().path();
        eprintln!("{}", path.display());
        check(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn what_fuzzing_found_interesting_breaks_nothing() {
    run("gossip", decoders::gossip);
    run("streams", decoders::streams);
    run("verdict", decoders::verdict);
    run("python_json", decoders::python_json);
    run("texts", decoders::texts);
    run("synapse", decoders::synapse);
    run("market", decoders::market);
    run("core", core::core);
}

#[test]
fn the_seeds_are_read_as_what_they_are() {
    use leoma_protocol::codec::Wire as _;
    let file = |target: &str, name: &str| {
        std::fs::read(Path::new("fuzz/corpus").join(target).join(name)).unwrap()
    };
    assert!(leoma_protocol::messages::Beacon::from_wire(&file("gossip", "beacon")[1..]).is_ok());
    assert!(
        leoma_protocol::messages::Certificate::from_wire(&file("gossip", "certificate")[1..])
            .is_ok()
    );
    assert!(
        leoma_protocol::mesh::PageAnswer::from_wire(&file("streams", "page-answer")[1..]).is_ok()
    );
    let bob = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty".parse().unwrap();
    let headers = String::from_utf8(file("synapse", "headers")[1..].to_vec()).unwrap();
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let head = leoma_protocol::synapse::RequestHead::read(&decoders::KINDS, &bob, headers);
    assert!(head.unwrap().verify(&bob).is_ok());
    assert!(decoders::KINDS.read_body(&file("synapse", "body")[1..]).is_ok());
    let feed = file("market", "feed");
    assert_eq!(leoma_protocol::market::read_closes(&feed[1..]).unwrap().len(), 2);
    let forecast = file("market", "forecast");
    let forecast = leoma_protocol::python_json::Value::parse(&forecast[1..]).unwrap();
    assert!(leoma_protocol::market::read_forecast(&forecast, 6).is_ok());
    let witness = leoma_protocol::Witness::decode(&file("texts", "witness"));
    assert_eq!(witness.unwrap().unwrap().held().count(), 88);
    assert!(
        leoma_protocol::MinerCommitment::parse(
            &String::from_utf8(file("texts", "commitment")).unwrap(),
            &kit().producer()
        )
        .is_ok()
    );
}
