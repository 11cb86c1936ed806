//! One task: the frame and prompt that miners were given, the source, and every answer, playing in
//! step, each with its verdict. Of mechanisms without clips: what was measured of each answer.

use axum::extract::{Path, Query, State};
use leoma_protocol::verdict::{AspectScores, Observation};
use leoma_protocol::{Hotkey, Nano};
use maud::{Markup, html};
use serde::Deserialize;

use super::audit::{Asked, of_scores, of_task};
use super::layout::{Page, PageError, command, joined, miner, nothing, points, short, time};
use crate::site::{ApiError, Now, Site, block_time};
use crate::view::{Entry, HeldTo, Measure, Needed, TaskFile, TaskRecord, View};

/// Answers on one page: as many videos as a browser plays in step.
const PER_PAGE: usize = 12;

#[derive(Default, Deserialize)]
pub(super) struct Pages {
    /// The page of answers, from 1.
    page: Option<usize>,
}

pub(super) async fn page(
    State(site): State<Site>,
    view: Result<Now, ApiError>,
    asked: Asked,
    Path(id): Path<String>,
    Query(pages): Query<Pages>,
) -> Result<Page, PageError> {
    let Now(view) = view?;
    let file = id.parse().ok().and_then(|id| view.file_of(id));
    let file = file.ok_or_else(|| ApiError::not_found("this task"))?;
    let task_id = file.verdict.task_id;
    let record = match file.verdict.producer.parse::<Hotkey>() {
        Ok(producer) => site.subnet()?.record(task_id, producer).await.ok().flatten(),
        Err(_) => None,
    };
    let body = html! {
        (task_facts(&view, file, record.as_deref()))
        (answers(&view, file, record.as_deref(), pages.page.unwrap_or(1)))
        (agreement(&view, file))
        (proof(&view, file, record.as_deref(), &asked))
    };
    Ok(Page { title: format!("Task {task_id}"), section: "", live: false, body })
}

fn task_facts(view: &View, file: &TaskFile, record: Option<&TaskRecord>) -> Markup {
    let verdict = &file.verdict;
    let prompt = record.and_then(|record| record.prompt.as_deref());
    html! {
        dl.facts {
            @if view.snapshot.has_clips { dt { "Prompt" } dd {
                @match (prompt, record) {
                    (Some(prompt), _) => (prompt),
                    (None, Some(_)) => "this task has no prompt",
                    (None, None) => "not known here: the sampler's bucket cannot be read now",
                }
            } }
            dt { "Sampled by" } dd { (short(&verdict.producer)) ", " (time(block_time(view, verdict.block))) }
            dt { "Judge" } dd.wrap { code { (verdict.judge) } }
            dt { "Neighbours" } dd {
                a href={ "/ui/tasks/" (verdict.task_id.saturating_sub(1)) } rel="prev" { (verdict.task_id.saturating_sub(1)) }
                " " a href={ "/ui/tasks/" (verdict.task_id + 1) } rel="next" { (verdict.task_id + 1) }
            }
        }
    }
}

/// The winner of the newest epoch first, then passed before failed, then by score.
fn ordered<'a>(view: &View, file: &'a TaskFile) -> Vec<&'a Entry> {
    let mut entries: Vec<&Entry> = file.verdict.entries.iter().collect();
    entries.sort_by_key(|entry| {
        (view.winner() != Some(&entry.miner), !entry.passed, std::cmp::Reverse(entry.score))
    });
    entries
}

fn answers(view: &View, file: &TaskFile, record: Option<&TaskRecord>, page: usize) -> Markup {
    let entries = ordered(view, file);
    let pages = entries.len().div_ceil(PER_PAGE).max(1);
    let page = page.clamp(1, pages);
    let shown = entries.iter().skip((page - 1) * PER_PAGE).take(PER_PAGE);
    let media = format!("/media/{}/{}", file.verdict.producer, file.verdict.task_id);
    html! {
        h2 { "Answers" }
        @if view.snapshot.has_clips { (player()) }
        @if pages > 1 { (page_links(file, page, pages)) }
        div.answers {
            @if view.snapshot.has_clips { (source(&media)) }
            @for entry in shown { (answer(view, entry, file.verdict.needed, record, &media)) }
        }
        @if entries.is_empty() { (nothing("The sampler judged no miner in this task.")) }
        @if pages > 1 { (page_links(file, page, pages)) }
    }
}

/// What plays all videos in step.
fn player() -> Markup {
    html! {
        div.player data-player hidden {
            button type="button" data-play { "Play all" }
            label { "Position " input type="range" min="0" max="1000" value="0" data-scrub; }
            label { "Speed " select data-speed {
                option value="0.25" { "¼" } option value="0.5" { "½" } option value="1" selected { "1" }
            } }
        }
    }
}

/// What miners were given, and the clip that it is from.
fn source(media: &str) -> Markup {
    html! {
        figure.answer.source {
            figcaption { h3 { "Given and source" } }
            img src={ (media) "/first_frame.png" } alt="The first frame that the miners were given" loading="lazy";
            (video(&format!("{media}/original_clip.mp4"), "The source clip"))
        }
    }
}

fn page_links(file: &TaskFile, page: usize, pages: usize) -> Markup {
    html! { nav.pages aria-label="Pages of answers" { @for number in 1..=pages {
        a href={ "/ui/tasks/" (file.verdict.task_id) "?page=" (number) }
            aria-current=[(number == page).then_some("page")] { (number) }
    } } }
}

fn video(address: &str, label: &str) -> Markup {
    html! { video src=(address) aria-label=(label) controls muted playsinline loop preload="metadata" data-step {} }
}

fn answer(
    view: &View,
    entry: &Entry,
    needed: Needed,
    record: Option<&TaskRecord>,
    media: &str,
) -> Markup {
    let measures = record.and_then(|record| record.measures.get(&*entry.miner));
    let has_clips = view.snapshot.has_clips;
    html! {
        figure.answer.passed[entry.passed].failed[!entry.passed] {
            figcaption {
                h3 { (named(view, entry)) }
                p {
                    span class=(if entry.passed { "yes" } else { "no" }) { (entry.status) }
                    @if let Some(score) = entry.score {
                        " " b { (points(score)) }
                        @if has_clips { " of " (points(needed.overall)) " needed" }
                    }
                }
            }
            @if has_clips && entry.has_video {
                (video(&format!("{media}/generated_videos/{}.mp4", entry.miner), "This miner's answer"))
            } @else if has_clips {
                (nothing("There is no video of this answer."))
            }
            p.why { (entry.reasoning) }
            @if let Some(scores) = entry.aspects { (aspects(scores, needed)) }
            @if !entry.observations.is_empty() { (observed(&entry.observations)) }
            @if let Some(measures) = measures { (measure_table(measures, needed)) }
            @if !entry.is_reading {
                p.note { "Answered in " (format!("{:.1} s", entry.latency_ms as f64 / 1000.0)) }
            }
        }
    }
}

/// Whose entry it is.
fn named(view: &View, entry: &Entry) -> Markup {
    html! {
        @if entry.is_reading { (short(&entry.miner)) " read this itself" } @else {
            (miner(&entry.miner)) @if view.winner() == Some(&entry.miner) { " " strong { "winner" } }
        }
    }
}

/// What policy records fold, pool by pool.
fn observed(observations: &[Observation]) -> Markup {
    html! { details open {
        summary { "What was measured" }
        table {
            thead { tr { th { "Pool" } th { "Counts" } th { "Values" } } }
            tbody { @for one in observations { tr {
                td { (one.pool.as_str()) }
                td { @for (name, count) in &one.counts { (name.as_str()) "=" (count) " " } }
                td.wrap { @for value in &one.values {
                    @match value { Some(value) => (exact(*value)), None => "–" } " "
                } }
            } } }
        }
    } }
}

/// The number without zeros at its end.
fn exact(value: Nano) -> String {
    value.to_string().trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn aspects(scores: AspectScores, needed: Needed) -> Markup {
    html! { table.aspects {
        thead.hidden { tr { th { "Aspect" } th { "Points" } th { "Bar" } th { "Needed" } } }
        tbody { @for ((name, score), least) in scores.named().into_iter().zip(needed.aspects) {
            tr {
                th scope="row" { (name.replace('_', " ")) }
                td.number { span class=(if score < least { "no" } else { "" }) { (points(score)) } }
                td { meter min="0" max="1000" low=(needed.measure) high=(needed.overall) optimum="1000" value=(score)
                    aria-label={ (name.replace('_', " ")) } {} }
                td { @if least > 0 { "≥ " (points(least)) } }
            }
        } }
    } }
}

/// The measures that feed aspects, each beside its bounds and the worst first; then the others.
fn measure_table(measures: &[Measure], needed: Needed) -> Markup {
    let held: Vec<(&Measure, HeldTo)> =
        measures.iter().filter_map(|one| Some((one, one.held_to?))).collect();
    let others: Vec<&Measure> = measures.iter().filter(|one| one.held_to.is_none()).collect();
    html! {
        @if !held.is_empty() { details {
            summary { (held.len()) " measures and their bounds" }
            div.scroll tabindex="0" role="region" aria-label="Measures and their bounds" { table {
                thead { tr {
                    th { "Aspect" } th { "Measure" } th.number { "Value" } th.number { "No points at" }
                    th.number { "All points at" } th.number { "Points" }
                } }
                tbody { @for (measure, held) in &held { tr {
                    td { (held.aspect.replace('_', " ")) }
                    td { (measure.name.replace('_', " ")) }
                    td.number { (decimals(measure.value)) }
                    td.number { (decimals(held.none)) }
                    td.number { (decimals(held.full)) }
                    td.number { span class=(if held.points < f64::from(needed.measure) / 10.0 { "no" } else { "" }) {
                        (format!("{:.0}", held.points))
                    } }
                } } }
            } }
        } }
        @if !others.is_empty() { details {
            summary { (others.len()) " raw measures" }
            table {
                thead { tr { th { "Measure" } th.number { "Value" } } }
                tbody { @for measure in &others { tr {
                    td { (measure.name) } td.number { (decimals(measure.value)) }
                } } }
            }
        } }
    }
}

fn decimals(value: f64) -> String {
    format!("{value:.3}")
}

fn agreement(view: &View, shown: &TaskFile) -> Markup {
    html! {
        h2 { "Agreement" }
        @for file in view.files_of(shown.verdict.task_id) {
            section.file {
                h3 { "File of " (short(&file.verdict.producer)) }
                p {
                    @if file.in_window { "Counts in the window. " }
                    @if file.certified { span.yes { "Certified." } } @else { span.no { "Not certified." } }
                    @if let Some(why) = &file.left_out { " Left out: " (why) "." }
                    " Digest " (short(&file.verdict.digest))
                }
                p { "Attested by " (file.attesters.len()) ": "
                    (joined(file.attesters.iter().map(|one| short(one)), ", ")) }
                @if !file.refusals.is_empty() {
                    ul { @for (by, why) in &file.refusals { li { (short(by)) " refused it: " (why) } } }
                }
            }
        }
    }
}

fn proof(view: &View, file: &TaskFile, record: Option<&TaskRecord>, asked: &Asked) -> Markup {
    html! {
        h2 { "Check it yourself" }
        @match record {
            None => (nothing("The sampler's bucket cannot be read here now: there is nothing to check.")),
            Some(record) if !view.snapshot.has_clips => {
                p { "This command checks the task again, from what its sampler published and from the "
                    "chain; it needs read access to the source bucket." }
                (command(&of_task(view, file, record, asked)))
                (proof_facts(record))
            }
            Some(record) => {
                p { "The clip follows from the hash of the task's first block. This command chooses "
                    "and cuts it again; it needs read access to the source bucket." }
                (command(&of_task(view, file, record, asked)))
                p { "This one scores each video again, and compares the result with what the sampler signed." }
                (command(&of_scores(view, file, asked)))
                (proof_facts(record))
            }
        }
    }
}

fn proof_facts(record: &TaskRecord) -> Markup {
    html! { dl.facts { @for (name, value) in &record.proof {
        dt { (name) } dd.wrap { code { (value) } }
    } } }
}
