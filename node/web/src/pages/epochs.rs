//! Epochs: what counted, what was decided, and what is on chain.

use axum::extract::Path;
use maud::{Markup, html};

use super::audit::{Asked, of_epoch};
use super::layout::{
    Page, PageError, command, joined, miner, nothing, or_dash, percent, short, task, uncertified,
};
use crate::site::{ApiError, Now};
use crate::view::{Epoch, FileName, HotkeyText};

/// Slots that are listed of one validator's weights.
const SHOWN_WEIGHTS: usize = 8;

pub(super) async fn list(view: Result<Now, ApiError>) -> Result<Page, PageError> {
    let Now(view) = view?;
    let epochs = &view.snapshot.epochs;
    let body = html! {
        @if epochs.is_empty() { (nothing("No epoch has been computed yet.")) } @else {
            div.scroll tabindex="0" role="region" aria-label="Epochs" { table {
                thead { tr {
                    th { "Epoch" } th { "State" } th { "Winner" } th.number { "Files" }
                    th.number { "Left out" } th.number { "Missing" } th.number { "Witnesses" } th { "Why" }
                } }
                tbody { @for epoch in epochs { tr {
                    td { a href={ "/ui/epochs/" (epoch.block) } { (epoch.block) } }
                    td { span class={ "state " (epoch.state) } { (epoch.state) } }
                    td { @match &epoch.winner { Some(winner) => (miner(winner)), None => "–" } }
                    td.number { (epoch.counted.len()) }
                    td.number { (epoch.left_out.len()) }
                    td.number { (epoch.missing.len()) }
                    td.number { @if epoch.witnesses.is_empty() { "–" } @else { (epoch.witnesses.len()) } }
                    td { (epoch.reason) }
                } } }
            } }
        }
    };
    Ok(Page { title: "Epochs".into(), section: "/ui/epochs", live: true, body })
}

pub(super) async fn one(
    view: Result<Now, ApiError>,
    asked: Asked,
    Path(block): Path<String>,
) -> Result<Page, PageError> {
    let Now(view) = view?;
    let epoch = view.snapshot.epochs.iter().find(|epoch| epoch.block.to_string() == block);
    let epoch = epoch.ok_or_else(|| ApiError::not_found("this epoch"))?;
    let body = html! {
        dl.facts {
            dt { "State" } dd { span class={ "state " (epoch.state) } { (epoch.state) } }
            dt { "Why" } dd { (epoch.reason) }
            dt { "Winner" } dd {
                @match &epoch.winner { Some(winner) => (miner(winner)), None => "no miner" }
                " in slot " (or_dash(epoch.winner_uid))
            }
            dt { "A miner needs" } dd { (epoch.required_validators) " validators" }
            dt { "Witnesses" } dd {
                @if epoch.witnesses.is_empty() { "not known here" } @else {
                    (epoch.witnesses.len()) ", a file needs " (epoch.required_witnesses) ": "
                    (joined(epoch.witnesses.iter().map(|one| short(one)), ", "))
                }
            }
        }
        h2 { "Check it yourself" }
        @if epoch.is_uncertified() { (uncertified()) } @else {
            (command(&of_epoch(&view, epoch, &asked)))
            p.note {
                "It reads the chain at the boundary: of an older epoch it needs an archive node, "
                "named with " code { "--chain-endpoint" } "."
            }
        }
        (ranks(epoch))
        (files(epoch))
        (weights(epoch))
    };
    Ok(Page { title: format!("Epoch {block}"), section: "/ui/epochs", live: false, body })
}

fn ranks(epoch: &Epoch) -> Markup {
    let is_shared = epoch.ranks.iter().any(|rank| rank.share.is_some());
    html! {
        h2 { "Ranks" }
        @if epoch.ranks.is_empty() { (nothing("No miner is eligible.")) } @else { div.scroll tabindex="0" role="region" aria-label="Ranks" { table {
            thead { tr { th.number { "Rank" } th { "Miner" } @if is_shared { th.number { "Share" } } th.number { "Rate" } th.number { "Passed" } th.number { "Committed" } } }
            tbody { @for rank in &epoch.ranks { tr {
                td.number { (rank.rank) } td { (miner(&rank.miner)) }
                @if is_shared { td.number { (percent(rank.share.unwrap_or(0.0))) } }
                td.number { (percent(rank.rate)) } td.number { (rank.passed) } td.number { (or_dash(rank.block)) }
            } } }
        } } }
        @if !epoch.ineligible.is_empty() {
            details { summary { (epoch.ineligible.len()) " miners without a rank" }
                ul { @for (hotkey, why) in &epoch.ineligible { li { (miner(hotkey)) ": " (why) } } }
            }
        }
    }
}

/// Who witnesses a file, or who does not where those are fewer; nothing where it is not known.
fn witnesses(epoch: &Epoch, file: &FileName) -> Markup {
    let Some(found) = epoch.witnessed.iter().find(|witnessed| witnessed.file == *file) else {
        return html! {};
    };
    let by: Vec<&HotkeyText> = found.by.iter().collect();
    let others: Vec<&HotkeyText> =
        epoch.witnesses.iter().filter(|one| !found.by.contains(one)).collect();
    let list = |hotkeys: &[&HotkeyText]| joined(hotkeys.iter().map(|one| short(one)), ", ");
    html! {
        ", witnessed by "
        @if by.is_empty() { "nobody" }
        @else if others.is_empty() { "all " (by.len()) }
        @else if others.len() < by.len() { "all but " (list(&others)) }
        @else { (list(&by)) }
    }
}

fn names(epoch: &Epoch, files: &[FileName]) -> Markup {
    html! {
        ul.files { @for file in files {
            li {
                (task(file.task_id)) " by " (short(&file.producer)) (witnesses(epoch, file))
            }
        } }
    }
}

fn files(epoch: &Epoch) -> Markup {
    html! {
        h2 { "Files" }
        details { summary { (epoch.counted.len()) " files counted" } (names(epoch, &epoch.counted)) }
        @if !epoch.missing.is_empty() {
            details open { summary { (epoch.missing.len()) " files are missing here" } (names(epoch, &epoch.missing)) }
        }
        @if !epoch.left_out.is_empty() {
            details { summary { (epoch.left_out.len()) " files left out" }
                ul { @for (file, why) in &epoch.left_out {
                    li {
                        (task(file.task_id)) " by " (short(&file.producer)) ": " (why)
                        (witnesses(epoch, file))
                    }
                } }
            }
        }
    }
}

fn weights(epoch: &Epoch) -> Markup {
    html! {
        h2 { "Weights on chain" }
        @if epoch.weights.is_empty() {
            (nothing("The weights were not read back here."))
        } @else { div.scroll tabindex="0" role="region" aria-label="Weights on chain" { table {
            thead { tr { th { "Validator" } th { "uid = weight" } th { "Compared with ours" } } }
            tbody { @for of_one in &epoch.weights { tr {
                td { (short(&of_one.validator)) }
                td {
                    @if of_one.weights.is_empty() { "–" }
                    @for (uid, weight) in of_one.weights.iter().take(SHOWN_WEIGHTS) { (uid) "=" (weight) " " }
                    @if of_one.weights.len() > SHOWN_WEIGHTS { "and " (of_one.weights.len() - SHOWN_WEIGHTS) " more" }
                }
                td { @match of_one.compared.as_str() {
                    "same" => span.yes { "equal" },
                    "other" => span.no { "not equal" },
                    "nothing" => "set nothing in this epoch",
                    _ => "not visible yet",
                } }
            } } }
        } } }
    }
}
