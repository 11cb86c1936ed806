//! The leaderboard, and one miner.

use std::cmp::Ordering;

use axum::extract::{Path, Query, State};
use leoma_protocol::verdict::AspectScores;
use maud::{Markup, html};
use serde::Deserialize;

use super::charts::{line, verdict_strip};
use super::layout::{
    Page, PageError, nothing, or_dash, percent, points, reason, short, task, time,
};
use crate::site::{ApiError, Now, Site, iso};
use crate::validity::{Known, Validities};
use crate::view::{Miner, MinerTallies, Tally, Validity, View};

/// Verdicts that a miner's page lists; the strip shows all of the window.
const LISTED_VERDICTS: usize = 100;

#[derive(Default, Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    sort: String,
    #[serde(default)]
    show: String,
}

/// One line of the leaderboard.
struct Row<'a> {
    miner: &'a Miner,
    known: Known<'a>,
    rank: Option<u32>,
    tallies: Option<&'a MinerTallies>,
}

impl Row<'_> {
    fn score(&self) -> f64 {
        self.tallies.map_or(-1.0, MinerTallies::score)
    }

    fn latency(&self) -> f64 {
        self.tallies.and_then(|one| one.total.mean_latency()).unwrap_or(f64::MAX)
    }

    fn compare(&self, other: &Self, sort: &str) -> Ordering {
        let by_rank = self.rank.unwrap_or(u32::MAX).cmp(&other.rank.unwrap_or(u32::MAX));
        match sort {
            "score" => other.score().total_cmp(&self.score()),
            "latency" => self.latency().total_cmp(&other.latency()),
            "uid" => self.miner.uid.unwrap_or(u16::MAX).cmp(&other.miner.uid.unwrap_or(u16::MAX)),
            "commit" => self.miner.commit_block.cmp(&other.miner.commit_block),
            _ => by_rank.then(other.score().total_cmp(&self.score())),
        }
    }
}

pub(super) async fn list(
    State(site): State<Site>,
    view: Result<Now, ApiError>,
    Query(order): Query<Order>,
) -> Result<Page, PageError> {
    let Now(view) = view?;
    let validities = Validities::read(&site, &view).await?;
    let wanted = |row: &Row<'_>| match order.show.as_str() {
        "valid" => row.known.validity == Validity::Valid,
        "eligible" => row.rank.is_some(),
        "invalid" => matches!(row.known.validity, Validity::Invalid(_)),
        _ => true,
    };
    let mut rows: Vec<Row<'_>> = Vec::new();
    for miner in &view.snapshot.miners {
        let known = validities.of(&view, miner);
        let rank = view.rank_of(&miner.hotkey);
        rows.push(Row { miner, known, rank, tallies: view.tallies.get(&miner.hotkey) });
    }
    rows.retain(wanted);
    rows.sort_by(|a, b| a.compare(b, &order.sort));
    let body = html! {
        (order_form(&order))
        @if rows.is_empty() { (nothing("No miner matches.")) } @else { (leaderboard(&view, &rows)) }
        p.note {
            "Score: the mean of the validators' pass rates, which decides. Spread: the lowest and the \
             highest of these. Completeness: the share of the window's tasks with a verdict."
        }
    };
    Ok(Page { title: "Miners".into(), section: "/ui/miners", live: true, body })
}

fn order_form(order: &Order) -> Markup {
    let option = |value: &str, label: &str, chosen: &str| {
        html! {
            option value=(value) selected[value == chosen] { (label) }
        }
    };
    html! {
        form.order method="get" {
            label { "Sort by " select name="sort" {
                @for (value, label) in [("rank", "rank"), ("score", "score"), ("latency", "latency"),
                    ("commit", "commit block"), ("uid", "uid")] { (option(value, label, &order.sort)) }
            } }
            label { "Show " select name="show" {
                @for (value, label) in [("all", "all"), ("eligible", "eligible"), ("valid", "valid"),
                    ("invalid", "invalid")] { (option(value, label, &order.show)) }
            } }
            button type="submit" { "Apply" }
        }
    }
}

fn leaderboard(view: &View, rows: &[Row<'_>]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Leaderboard" { table {
            thead { tr {
                th.number { "Rank" } th.number { "uid" } th { "Miner" } th.number { "Score" }
                th.number { "Spread" } th.number { "Complete" } th { "Standing" }
                th.number { "Committed" } th { "Model" } th { "Chute" } th.number { "Latency" }
            } }
            tbody { @for row in rows { (leaderboard_row(view, row)) } }
        } }
    }
}

fn leaderboard_row(view: &View, row: &Row<'_>) -> Markup {
    let miner = row.miner;
    let rates = row.tallies.map(|one| {
        let rates = one.by_validator.values().map(Tally::rate);
        let low = rates.clone().fold(1.0, f64::min);
        (low, rates.fold(0.0, f64::max), one.by_validator.len())
    });
    let winner = view.winner() == Some(&miner.hotkey);
    html! {
        tr.winner[winner] {
            td.number { (or_dash(row.rank)) }
            td.number { (or_dash(miner.uid)) }
            td { (super::layout::miner(&miner.hotkey)) @if winner { " " strong { "winner" } } }
            td.number { @match row.tallies { Some(one) => (percent(one.score())), None => "–" } }
            td.number { @match rates {
                Some((low, high, number)) => {
                    (format!("{:.0}–{:.0} %", low * 100.0, high * 100.0)) " " small { "of " (number) }
                }
                None => "–",
            } }
            td.number { @match row.tallies {
                Some(one) if view.existing_tasks > 0 => (percent(f64::from(one.tasks) / f64::from(view.existing_tasks))),
                _ => "–",
            } }
            td { (standing(view, miner, &row.known.validity, row.rank)) }
            td.number { (or_dash(miner.commit_block)) }
            td { @match &miner.model_name { Some(name) => (short(name)), None => "–" } }
            td { (or_dash(miner.chute_slug.as_deref())) }
            td.number { @match row.tallies.and_then(|one| one.total.mean_latency()) {
                Some(latency) => (format!("{:.1} s", latency / 1000.0)), None => "–",
            } }
        }
    }
}

/// Whether a miner takes part, and what is missing for it.
fn standing(view: &View, miner: &Miner, validity: &Validity, rank: Option<u32>) -> Markup {
    html! {
        @match validity {
            Validity::Invalid(word) => { span.no { "invalid" } ": " (reason(word)) }
            _ if miner.uid.is_none() => { "no slot on the subnet" }
            Validity::Unknown if rank.is_none() => { "not checked" }
            _ if rank.is_some() => { span.yes { "eligible" } }
            _ => { "not eligible: " (view.why_ineligible(&miner.hotkey).unwrap_or("no verdict in the newest epoch")) }
        }
    }
}

pub(super) async fn one(
    State(site): State<Site>,
    view: Result<Now, ApiError>,
    Path(hotkey): Path<String>,
) -> Result<Page, PageError> {
    let Now(view) = view?;
    let miner = view.miner(&hotkey).ok_or_else(|| ApiError::not_found("this miner"))?;
    let known = Validities::read(&site, &view).await?;
    let known = known.of(&view, miner);
    let rank = view.rank_of(&hotkey);
    let title = miner.uid.map_or("Miner".to_owned(), |uid| format!("Miner {uid}"));
    let body = html! {
        p.wrap { code { (hotkey) } }
        (facts(&view, miner, &known, rank))
        (over_time(&view, &hotkey))
        (by_validator(&view, &hotkey))
        (verdict_list(&view, &hotkey))
    };
    Ok(Page { title, section: "/ui/miners", live: false, body })
}

fn facts(view: &View, miner: &Miner, known: &Known<'_>, rank: Option<u32>) -> Markup {
    html! {
        dl.facts {
            dt { "Rank" } dd { (or_dash(rank)) }
            dt { "Standing" } dd { (standing(view, miner, &known.validity, rank)) }
            dt { "Model" } dd.wrap { (or_dash(miner.model_name.as_deref())) }
            dt { "Revision" } dd.wrap { (or_dash(miner.model_revision.as_deref())) }
            dt { "Weights' hash" } dd.wrap { (or_dash(miner.model_hash.as_deref())) }
            dt { "Chute" } dd.wrap { (or_dash(miner.chute_id.as_deref())) " " (or_dash(miner.chute_slug.as_deref())) }
            dt { "Committed" } dd { "block " (or_dash(miner.commit_block)) }
            dt { "Checked" } dd { (time(known.at.and_then(iso))) }
        }
    }
}

fn over_time(view: &View, hotkey: &str) -> Markup {
    let mut found: Vec<_> = view.verdicts_on(hotkey).filter(|one| one.file.in_window).collect();
    found.reverse();
    let verdicts: Vec<(u64, bool)> =
        found.iter().map(|one| (one.file.verdict.task_id, one.entry.passed)).collect();
    let scores: Vec<AspectScores> = found.iter().filter_map(|one| one.entry.aspects).collect();
    let newest = found.iter().rev().find_map(|one| Some((one.file, one.entry.aspects?)));
    html! {
        h2 { "Window" }
        @if verdicts.is_empty() { (nothing("No verdict in the window.")) } @else { (verdict_strip(&verdicts)) }
        @if let Some((file, newest)) = newest {
            h2 { "Aspects over time" }
            div.lines { @for (index, ((name, _), needed)) in newest.named().into_iter().zip(file.verdict.needed.aspects).enumerate() {
                @let values: Vec<u16> = scores.iter().map(|scores| scores.named()[index].1).collect();
                (line(name, &values, Some(needed).filter(|needed| *needed > 0)))
            } }
        }
    }
}

fn by_validator(view: &View, hotkey: &str) -> Markup {
    html! {
        @if let Some(tallies) = view.tallies.get(hotkey) {
            h2 { "By validator" }
            table {
                thead { tr { th { "Validator" } th.number { "Pass rate" } th.number { "Passed" } th.number { "Of" } } }
                tbody {
                    @for (validator, tally) in &tallies.by_validator { tr {
                        td { (short(validator)) } td.number { (percent(tally.rate())) }
                        td.number { (tally.passed) } td.number { (tally.evaluated) }
                    } }
                    tr { td { b { "Mean of these: the score" } } td.number { b { (percent(tallies.score())) } }
                        td.number { (tallies.total.passed) } td.number { (tallies.total.evaluated) } }
                }
            }
        }
    }
}

fn verdict_list(view: &View, hotkey: &str) -> Markup {
    html! {
        h2 { "Tasks" }
        div.scroll tabindex="0" role="region" aria-label="Tasks" { table {
            thead { tr { th { "Task" } th { "Verdict" } th.number { "Score" } th.number { "Latency" } th { "Why" } th { "Validator" } } }
            tbody { @for one in view.verdicts_on(hotkey).take(LISTED_VERDICTS) { tr {
                td { (task(one.file.verdict.task_id)) }
                td { span class=(if one.entry.passed { "yes" } else { "no" }) { (one.entry.status) } }
                td.number { @match one.entry.score { Some(score) => (points(score)), None => "–" } }
                td.number { (format!("{:.1} s", one.entry.latency_ms as f64 / 1000.0)) }
                td.wrap { (one.entry.reasoning) }
                td { (short(&one.file.verdict.producer)) }
            } } }
        } }
    }
}
