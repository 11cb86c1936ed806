//! The shipped records, what a digest depends on, and what is refused.

use leoma_protocol::{ConsensusParams, Digest};

use super::{I2V, MAX_POLICY_BYTES, PolicyError, PolicyRecord, T2V, VIDEO};

const ALL: [(&str, &str); 8] = [
    ("video", VIDEO),
    ("t2v", T2V),
    ("i2v", I2V),
    ("motion", include_str!("../../policies/motion.toml")),
    ("tokens", include_str!("../../policies/tokens.toml")),
    ("load", include_str!("../../policies/load.toml")),
    ("splat", include_str!("../../policies/splat.toml")),
    ("oracle", include_str!("../../policies/oracle.toml")),
];

fn motion() -> String {
    ALL[3].1.to_owned()
}

#[test]
fn the_shipped_records_are_read_and_differ() {
    let mut digests: Vec<Digest> = Vec::new();
    for (name, text) in ALL {
        let record = PolicyRecord::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(record.mechanism.as_str(), name);
        digests.push(record.digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), ALL.len());
}

#[test]
fn the_video_record_states_the_constants_in_force() {
    let record = PolicyRecord::parse(VIDEO).unwrap();
    assert_eq!(record.params(), ConsensusParams::default());
    let digest = "32deae9098d291d7d67a68908aa13823c7689ede32926ecb1e749759622bf727";
    assert_eq!(record.digest().to_string(), digest);
}

#[test]
fn validators_that_serve_records_differ_from_video_and_from_each_other() {
    let [video, t2v, i2v] = [VIDEO, T2V, I2V].map(|text| PolicyRecord::parse(text).unwrap());
    let digest = |record: &PolicyRecord| record.consensus().digest();
    let default = ConsensusParams::default().digest();
    let digests = [default, digest(&video), digest(&t2v), digest(&i2v)];
    for (index, one) in digests.iter().enumerate() {
        assert!(!digests[..index].contains(one), "{index}");
    }
    assert_eq!(t2v.consensus().policy, Some(t2v.digest()));
    assert_eq!((t2v.mecid, t2v.consensus().epoch_offset), (1, 90));
    assert_eq!((i2v.mecid, i2v.consensus().epoch_offset), (2, 45));
    // All that is left of the constants is video's.
    assert_eq!((t2v.params(), i2v.params()), (video.params(), video.params()));
    assert!([video, t2v, i2v].iter().all(PolicyRecord::pays_one_winner_by_pass_rate));
    assert!(!PolicyRecord::parse(&motion()).unwrap().pays_one_winner_by_pass_rate());
}

#[test]
fn comments_and_spacing_do_not_change_the_digest_and_every_value_does() {
    let digest = |text: &str| PolicyRecord::parse(text).unwrap().digest();
    let base = digest(&motion());
    assert_eq!(digest(&format!("# another comment\n\n{}", motion())), base);
    for (from, to) in [
        ("\"motion\"\nmecid", "\"notion\"\nmecid"),
        ("mecid = 0", "mecid = 1"),
        ("tasks = 100", "tasks = 101"),
        ("settle_margin = 2", "settle_margin = 3"),
        ("lookback_blocks = 30000", "lookback_blocks = 1"),
        ("epoch_blocks = 180", "epoch_blocks = 360"),
        ("\"4/5\"", "\"3/5\""),
        ("\"1/2\"", "\"1/3\""),
        ("name = \"motion\"", "name = \"action\""),
        ("share = \"1/1\"", "share = \"1/2\""),
        ("missing = 0", "missing = 1"),
        ("\"1/10\"", "\"1/11\""),
        ("init = 0", "init = 1"),
        ("ema = { alpha = \"1/10\", init = 0 }", "sum = { blocks = 1 }"),
        ("\"proportional\"", "\"min_max\""),
    ] {
        let changed = motion().replace(from, to);
        assert_ne!(changed, motion(), "{from}");
        assert_ne!(digest(&changed), base, "{from} to {to}");
    }
}

#[test]
fn what_is_out_of_bounds_is_refused_with_its_place() {
    for (from, to, named) in [
        ("leoma.policy/1", "leoma.policy/2", "schema"),
        ("mecid = 0", "mecid = 16", "mecid"),
        ("mecid = 0", "mecid = -1", "mecid"),
        ("mecid = 0", "mecid = 0\nextra = 1", "extra"),
        ("tasks = 100", "tasks = 0", "window.tasks"),
        ("tasks = 100", "tasks = 1001", "window.tasks"),
        ("tasks = 100", "tasks = 1.5", "tasks"),
        ("tasks = 100", "tasks = 100, spread = 1", "spread"),
        ("epoch_blocks = 180", "epoch_blocks = 0", "epoch_blocks"),
        ("\"4/5\"", "\"6/5\"", "gates.completeness"),
        ("\"4/5\"", "\"4/0\"", "4/0"),
        ("\"4/5\"", "\"4/1000001\"", "4/1000001"),
        ("\"4/5\"", "\"+4/5\"", "+4/5"),
        ("\"4/5\"", "\"-4/5\"", "below zero"),
        ("\"4/5\"", "0.8", "completeness"),
        ("share = \"1/1\"", "share = \"2/1\"", "pool.share"),
        ("name = \"motion\"", "name = \"Motion\"", "Motion"),
        ("init = 0", "init = 9223372036854775808", "9223372036854775808"),
        ("init = 0", "init = 0, more = 1", "more"),
        ("\"1/10\"", "\"0/10\"", "fold.alpha"),
        ("\"1/10\"", "\"11/10\"", "fold.alpha"),
        ("ema = {", "median = {", "median"),
        ("\"proportional\"", "\"uniform\"", "uniform"),
        ("fold = {", "fold = \"pass_rate\"\nfolds = {", "folds"),
    ] {
        let changed = motion().replacen(from, to, 1);
        assert_ne!(changed, motion(), "{from}");
        let error = PolicyRecord::parse(&changed).unwrap_err().to_string();
        assert!(error.contains(named), "{from} to {to}: {error}");
    }
    let twice = format!("{}\n{}", motion(), motion().split_once("[[pool]]").unwrap().1);
    assert!(PolicyRecord::parse(&twice).is_err());
    let pool = motion().split_once("[[pool]]").unwrap().1.to_owned();
    let twice = format!("{}\n[[pool]]{pool}", motion()).replace("\"1/1\"", "\"1/2\"");
    assert!(PolicyRecord::parse(&twice).unwrap_err().to_string().contains("only once"));
    let close = "truth = \"close\"";
    let (_, oracle) = ALL.iter().find(|(_, text)| text.contains(close)).unwrap();
    let truth = oracle.replace(close, "truth = \"forecast\"");
    assert!(PolicyRecord::parse(&truth).unwrap_err().to_string().contains("fold.truth"));
    let long = format!("{}{}", motion(), "#".repeat(MAX_POLICY_BYTES));
    assert!(matches!(PolicyRecord::parse(&long), Err(PolicyError::TooLarge(_))));
    let deep = format!("a = {}", "[".repeat(10_000));
    assert!(PolicyRecord::parse(&deep).is_err());
}
