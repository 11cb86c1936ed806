//! What dashboards read: the fields of every answer, and what is not known.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{NOW, SAMPLE, app, app_of, check, get, hotkey, snapshot};
use crate::server::Audience;
use crate::site::iso;
use crate::view::Snapshot;

/// A path, its fields, and its lists with the fields of their elements.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

const MINER: &str = "uid:int? hotkey:text model_name:text? model_revision:text? model_hash:text? \
    chute_id:text? chute_slug:text? is_valid:bool invalid_reason:text? block:int? \
    last_validated_at:time?";
const MINER_TASK: &str = "task_id:int passed:bool validator_hotkey:text? overall_score:num? \
    latency_ms:int? updated:time?";
const TASK: &str = "task_id:int description:text? first_frame_path:text original_clip_path:text \
    first_frame_url:text? original_clip_url:text? miner_count:int sampler_hotkey:text?";
const VALIDATOR: &str = "uid:int hotkey:text stake:num permissioned:bool online:bool \
    last_sampled_task_id:int? last_sampled_at:time? tasks_sampled:int expected_turns:int \
    participation_rate:num evaluations:int avg_latency_ms:num?";
const SCORED: &str = "score:num total_samples:int total_passed:int pass_rate:num updated_at:time?";
const AGGREGATED: &str = "total_samples:int total_passed:int avg_score:num pass_rate:num \
    validator_count:int";

#[tokio::test]
async fn every_read_has_the_fields_that_dashboards_know() {
    let snapshot = snapshot();
    let miner = snapshot.miners[0].hotkey.clone();
    let validator = snapshot.validators[0].hotkey.clone();
    let task = snapshot.files[3].verdict.task_id;
    let uid = snapshot.miners[0].uid.unwrap();
    let app = app_of(snapshot, Audience::Operator);
    let rows: &[Row<'_>] = &[
        (
            "/health",
            "status:text version:text database:bool metagraph_synced:bool last_sync:time?",
            &[],
        ),
        (
            "/overview",
            "active_miners:int valid_miners:int total_miners:int total_validators:int \
             permissioned_validators:int rotation_interval:int current_sampler:text? \
             latest_task_id:int? window_start:int? window_end:int?",
            &[],
        ),
        ("/miners/list", "miners:list total:int valid_count:int", &[("miners", MINER)]),
        ("/miners/valid", "miners:list total:int valid_count:int", &[("miners", MINER)]),
        ("/miners/all", "miners:list total:int valid_count:int", &[("miners", MINER)]),
        ("/miners/M", MINER, &[]),
        ("/miners/info/M", MINER, &[]),
        ("/miners/uid/U", MINER, &[]),
        (
            "/tasks/T",
            TASK,
            &[("miners", "miner_hotkey:text passed:bool latency_ms:int? updated:time?")],
        ),
        (
            "/tasks/T/miner/M",
            "generated_video_path:text generated_video_url:text? validators:list \
             final_passed:bool latency_ms:int?",
            &[(
                "validators",
                "validator_hotkey:text passed:bool evaluated_at:time? confidence:num? \
                 reasoning:text? aspect_scores:map? overall_score:num?",
            )],
        ),
        (
            "/tasks/T/miner/M",
            TASK,
            &[("miners", "miner_hotkey:text passed:bool latency_ms:int? updated:time?")],
        ),
        ("/tasks/latest", "task_id:int?", &[]),
        ("/tasks/window", "task_ids:list", &[]),
        (
            "/validators/V",
            VALIDATOR,
            &[(
                "miner_scores",
                "miner_hotkey:text pass_rate:num total_samples:int total_passed:int",
            )],
        ),
        ("/scores", "scores:map total_validators:int updated_at:time?", &[]),
        (
            "/scores/rank",
            "ranks:list",
            &[(
                "ranks",
                "miner_hotkey:text uid:int? rank:int? passed_count:int pass_rate:num block:int? \
                 eligible:bool",
            )],
        ),
        (
            "/scores/stats",
            "total_validators:int total_miners:int total_samples:int total_score_entries:int \
             overall_pass_rate:num",
            &[],
        ),
        ("/scores/miner/M", "miner_hotkey:text aggregated:map", &[("by_validator", SCORED)]),
        (
            "/weights",
            "winner_uid:int? miners:list",
            &[("miners", "miner_hotkey:text uid:int pass_rate:num weight:num")],
        ),
    ];
    let filled = |path: &str| {
        let path = path.replace("/M", &format!("/{miner}")).replace("/T", &format!("/{task}"));
        path.replace("/V", &format!("/{validator}")).replace("/U", &format!("/{uid}"))
    };
    for (path, fields, lists) in rows {
        let (status, value) = get(&app, &filled(path)).await;
        assert_eq!(status, 200, "{path}: {value}");
        check(path, &value, fields);
        for (list, fields) in *lists {
            let elements = value[*list].as_array().unwrap();
            assert!(!elements.is_empty(), "{path}: {list} is empty");
            elements.iter().for_each(|element| check(path, element, fields));
        }
    }
    let active = "uid:int hotkey:text model_name:text? model_revision:text? chute_slug:text? \
        block:int? active:bool eligible:bool rank:int? weight:num score:num tasks_passed:int \
        tasks_evaluated:int validators_evaluating:int last_evaluated_at:time? avg_latency_ms:num? \
        validator_scores:list";
    let per_miner = format!("miner_hotkey:text {SCORED}");
    let lists: &[(&str, &str)] = &[
        ("/miners/active", active),
        ("/miners/M/tasks", MINER_TASK),
        ("/miners/tasks?miner_hotkey=M", MINER_TASK),
        ("/tasks?limit=3", MINER_TASK),
        ("/validators", VALIDATOR),
        ("/scores/validator/V", &per_miner),
        (
            "/scores/validators",
            "validator_hotkey:text total_samples:int total_passed:int pass_rate:num",
        ),
        ("/samples/list?limit=7", SAMPLE),
        ("/samples/task/T", SAMPLE),
        ("/samples/task?task_id=T", SAMPLE),
        ("/samples/validator/V", SAMPLE),
        ("/samples/miner/M", SAMPLE),
    ];
    for (path, fields) in lists {
        let address =
            filled(path).replace("=M", &format!("={miner}")).replace("=T", &format!("={task}"));
        let (status, value) = get(&app, &address).await;
        assert_eq!(status, 200, "{path}: {value}");
        let elements = value.as_array().unwrap_or_else(|| panic!("{path}: not a list: {value}"));
        assert!(!elements.is_empty(), "{path} is empty");
        elements.iter().for_each(|element| check(path, element, fields));
    }
    let (_, scores) = get(&app, "/scores").await;
    check("/scores", &scores["scores"][&*miner], AGGREGATED);
    let (_, one) = get(&app, &format!("/scores/miner/{miner}")).await;
    check("/scores/miner", &one["aggregated"], AGGREGATED);
    for path in ["/blacklist", "/blacklist/miners"] {
        assert_eq!(get(&app, path).await, (StatusCode::OK, json!([])), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_404_with_a_detail() {
    let app = app();
    for path in [
        "/miners/5x",
        "/miners/uid/9999",
        "/miners/uid/x",
        "/tasks/1",
        "/tasks/x",
        "/validators/5x",
        "/scores/miner/5x",
        "/blacklist/5x",
        "/nowhere",
        "/samples/task/x",
    ] {
        let (status, value) = get(&app, path).await;
        assert_eq!(status, 404, "{path}: {value}");
        check(path, &value, "detail:text");
    }
    let (status, value) = get(&app, "/samples/list?limit=x").await;
    assert_eq!(status, 400, "{value}");
    check("/samples/list", &value, "detail:text");
}

#[tokio::test]
async fn a_task_without_a_clip_has_no_addresses_of_pictures() {
    for has_clips in [true, false] {
        let made = Snapshot { has_clips, ..snapshot() };
        let (task, miner) = (made.files[3].verdict.task_id, made.miners[0].hotkey.clone());
        let app = app_of(made, Audience::Operator);
        let (_, value) = get(&app, &format!("/tasks/{task}/miner/{miner}")).await;
        for field in ["first_frame_url", "original_clip_url", "generated_video_url"] {
            assert_eq!(value[field].is_string(), has_clips, "{field}: {value}");
        }
    }
}

#[tokio::test]
async fn active_miners_have_the_weights_of_the_newest_epoch_whoever_is_paid() {
    let weights = async |made: Snapshot| {
        let app = app_of(made, Audience::Operator);
        let (_, of_epoch) = get(&app, "/weights").await;
        let (_, active) = get(&app, "/miners/active").await;
        let rows = |value: &Value, name: &str| -> Vec<(String, f64)> {
            let row =
                |one: &Value| (one[name].as_str().unwrap().to_owned(), one["weight"].as_f64());
            let rows = value.as_array().unwrap().iter().map(row);
            rows.map(|(hotkey, weight)| (hotkey, weight.unwrap())).collect()
        };
        let found = rows(&active, "hotkey");
        assert_eq!(found, rows(&of_epoch["miners"], "miner_hotkey"));
        found.into_iter().map(|(_, weight)| weight).collect::<Vec<f64>>()
    };
    let mut made = snapshot();
    assert_eq!(weights(made.clone()).await, [1.0, 0.0, 0.0, 0.0, 0.0]);
    for (rank, share) in made.epochs[0].ranks.iter_mut().zip([0.5, 0.25, 0.25, 0.0, 0.0]) {
        rank.share = Some(share);
    }
    assert_eq!(weights(made).await, [0.5, 0.25, 0.25, 0.0, 0.0]);
}

#[tokio::test]
async fn whoever_has_no_slot_is_in_no_list_that_gives_one() {
    let mut made = snapshot();
    made.miners[0].uid = None;
    let gone = made.miners[0].hotkey.clone();
    let app = app_of(made, Audience::Operator);
    for path in ["/miners/active", "/weights", "/validators"] {
        let (_, value) = get(&app, path).await;
        let text = value.to_string();
        assert!(!text.contains(&*gone) && !text.contains(&hotkey(1)), "{path}: {text}");
    }
    // It is in the list of all, and counted nowhere else.
    let count = async |path: &str, name: &str| get(&app, path).await.1[name].as_u64().unwrap();
    assert_eq!(count("/miners/all", "total").await, 5);
    assert_eq!(count("/miners/list", "total").await, 4);
    assert_eq!(count("/overview", "total_miners").await, 4);
    // It is found by its name.
    assert_eq!(get(&app, &format!("/miners/{gone}")).await.1["uid"], json!(null));
    assert_eq!(get(&app, &format!("/validators/{}", hotkey(1))).await.1["uid"], json!(null));
}

#[tokio::test]
async fn health_is_degraded_when_the_chain_is_gone() {
    let mut made = snapshot();
    let (_, health) = get(&app_of(made.clone(), Audience::Operator), "/health").await;
    assert_eq!((&health["status"], &health["metagraph_synced"]), (&json!("healthy"), &json!(true)));
    made.head_seen_at -= 121;
    let (_, health) = get(&app_of(made, Audience::Operator), "/health").await;
    assert_eq!(
        (&health["status"], &health["metagraph_synced"]),
        (&json!("degraded"), &json!(false))
    );
    assert_eq!(health["last_sync"], json!(iso(NOW - 121)));
}
