//! The first page: where the subnet is, and what needs attention.

use axum::extract::State;
use maud::{Markup, html};

use super::audit::{Asked, of_epoch};
use super::charts::{mesh, window_strip};
use super::layout::{
    Page, PageError, command, miner, nothing, percent, short, task, time, uncertified,
};
use crate::site::{Now, Site, block_time};
use crate::view::{Alarm, View, alarms};

pub(super) async fn page(
    State(site): State<Site>,
    view: Result<Now, crate::site::ApiError>,
    asked: Asked,
) -> Result<Page, PageError> {
    let Now(view) = view?;
    let alarms = alarms(&view, &site.source()?.readiness(), site.now());
    let body = html! {
        (alarm_list(&alarms))
        div.cards { (chain_card(&view)) (turn_card(&view)) (winner_card(&view, &asked)) }
        section {
            h2 { "Window" }
            (window_strip(&view.snapshot))
            (by_producer(&view))
        }
        section {
            h2 { "Mesh" }
            @if view.snapshot.links.is_empty() {
                (nothing("No other validator is connected."))
            } @else {
                (mesh(view.snapshot.own_hotkey.as_ref(), &view.snapshot.links))
            }
        }
    };
    Ok(Page { title: "Overview".into(), section: "/", live: true, body })
}

fn alarm_list(alarms: &[Alarm]) -> Markup {
    html! {
        section.alarms aria-label="Alarms" {
            @if alarms.is_empty() {
                p.fine { "Nothing needs attention." }
            } @else {
                ul { @for alarm in alarms {
                    li { b { (alarm.what) } ". Next: " (alarm.next) ". " code { (alarm.name) } }
                } }
            }
        }
    }
}

fn chain_card(view: &View) -> Markup {
    let snapshot = &view.snapshot;
    let left = snapshot.next_epoch.saturating_sub(snapshot.head);
    html! {
        section.card {
            h2 { "Chain" }
            dl {
                dt { "Head" } dd { (snapshot.head) " " small { (time(block_time(view, snapshot.head))) } }
                dt { "Epoch" } dd { (snapshot.epoch) }
                dt { "Next in" } dd { (left) " blocks" }
                dt { "Subnet" } dd { (snapshot.netuid) }
                @if let Some(mechanism) = &snapshot.mechanism {
                    dt { "Mechanism" } dd { (mechanism) }
                }
            }
        }
    }
}

fn turn_card(view: &View) -> Markup {
    html! {
        section.card {
            h2 { "Turn" }
            @match &view.snapshot.turn {
                None => (nothing("There is no allowlist yet.")),
                Some(turn) => {
                    @let offset = view.snapshot.head.saturating_sub(turn.start_block);
                    dl {
                        dt { "Task" } dd { (turn.task_id) ", block " (offset) " of " (turn.interval) }
                        @for (step, producer) in turn.producers.iter().enumerate() {
                            dt { @if step == 0 { "Samples" } @else { "Stands in" } }
                            dd {
                                (short(producer))
                                @if step > 0 { " after " (turn.grace_blocks * step as u64) " blocks" }
                                @if step == turn.step { " " strong { "now" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn winner_card(view: &View, asked: &Asked) -> Markup {
    html! {
        section.card {
            h2 { "Winner" }
            @match (view.newest_epoch(), view.winner()) {
                (None, _) => (nothing("No epoch has been computed yet.")),
                (Some(epoch), None) => {
                    p { "No miner gets weight: " (epoch.reason) }
                    p { a href={ "/ui/epochs/" (epoch.block) } { "Epoch " (epoch.block) } }
                }
                (Some(epoch), Some(winner)) => {
                    p.big { (miner(winner)) }
                    dl {
                        dt { "Rate" } dd {
                            @match epoch.ranks.first() { Some(first) => (percent(first.rate)), None => "–" }
                        }
                        dt { "Since epoch" } dd {
                            @if let Some(since) = view.winner_since() {
                                a href={ "/ui/epochs/" (since) } { (since) }
                            }
                        }
                        dt { "Newest epoch" } dd {
                            a href={ "/ui/epochs/" (epoch.block) } { (epoch.block) } ", " (epoch.state)
                        }
                        @if let Some(found) = view.verdicts_on(winner).next() {
                            dt { "Newest task" } dd { (task(found.file.verdict.task_id)) }
                        }
                    }
                    @if epoch.is_uncertified() { (uncertified()) }
                    @else { (command(&of_epoch(view, epoch, asked))) }
                }
            }
        }
    }
}

fn by_producer(view: &View) -> Markup {
    let files = &view.snapshot.files;
    html! {
        details {
            summary { "By producer" }
            table {
                thead { tr { th { "Validator" } th.number { "Files" } th.number { "Certified" } th.number { "Turns" } } }
                tbody { @for validator in view.snapshot.validators.iter().filter(|one| one.listed) {
                    @let own = files.iter().filter(|file| file.in_window && file.verdict.producer == validator.hotkey);
                    tr {
                        td { (short(&validator.hotkey)) }
                        td.number { (own.clone().count()) }
                        td.number { (own.filter(|file| file.certified).count()) }
                        td.number { (validator.expected_turns) }
                    }
                } }
            }
        }
    }
}
