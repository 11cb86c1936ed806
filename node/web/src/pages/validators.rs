//! The validators: who is there, who takes its turns, who agrees.

use maud::html;

use super::layout::{Page, PageError, or_dash, percent, short, task};
use crate::site::{ApiError, Now};

pub(super) async fn page(view: Result<Now, ApiError>) -> Result<Page, PageError> {
    let Now(view) = view?;
    let files: Vec<_> = view.snapshot.files.iter().filter(|file| file.in_window).collect();
    let known = || view.snapshot.epochs.iter().filter(|epoch| !epoch.witnesses.is_empty());
    let body = html! {
        div.scroll tabindex="0" role="region" aria-label="Validators" {
            table {
                thead { tr {
                    th.number { "uid" } th { "Validator" } th { "Online" }
                    th.number { "Turns made" } th.number { "Expected" }
                    th.number { "Attested" } th.number { "Refused" } th.number { "Certified" }
                    th.number { "Witnessed" } th { "Newest task" } th.number { "Stake" }
                    th { "Software" } th.number { "Disputes" }
                } }
                tbody { @for validator in &view.snapshot.validators {
                    @let hotkey = &validator.hotkey;
                    @let own = files.iter().filter(|file| file.verdict.producer == *hotkey);
                    @let attested = files.iter().filter(|file| file.attesters.contains(hotkey)).count();
                    @let refused = files.iter()
                        .filter(|file| file.refusals.iter().any(|(by, _)| by == hotkey)).count();
                    @let newest = view.snapshot.files.iter().rev()
                        .find(|file| file.verdict.producer == *hotkey);
                    tr {
                        td.number { (or_dash(validator.uid)) }
                        td {
                            (short(hotkey))
                            @if view.snapshot.own_hotkey.as_ref() == Some(hotkey) { " (this one)" }
                            @if !validator.listed { " " small { "not on the allowlist" } }
                        }
                        td { @if validator.online { span.yes { "online" } } @else { span.no { "offline" } } }
                        td.number { (own.clone().count()) }
                        td.number { (validator.expected_turns) }
                        td.number {
                            (attested) " "
                            @if !files.is_empty() {
                                small { (percent(attested as f64 / files.len() as f64)) }
                            }
                        }
                        td.number { (refused) }
                        td.number { (own.filter(|file| file.certified).count()) }
                        td.number { @match known().next() {
                            Some(newest) => {
                                (known().filter(|epoch| epoch.witnesses.contains(hotkey)).count())
                                " of " (known().count()) " "
                                small { (newest.witnessed.iter()
                                    .filter(|file| file.by.contains(hotkey)).count()) " files" }
                            }
                            None => "–"
                        } }
                        td { @match newest { Some(file) => (task(file.verdict.task_id)), None => "–" } }
                        td.number { (format!("{:.0}", validator.stake)) }
                        td { (or_dash(validator.agent.as_deref())) }
                        td.number { (validator.double_signatures) }
                    }
                } }
            }
        }
        p.note {
            @if view.snapshot.own_hotkey.is_none() {
                "Online: set weights or signed a file in the last two epochs, or reports the miners \
                 here. "
            }
            "Attested: files of the window that this validator signed for. Witnessed: epochs \
             before which it said on chain what it holds, and how many files that was for the \
             newest. Disputes: tasks for which it provably signed two files. Stake decides nothing \
             here."
        }
    };
    Ok(Page { title: "Validators".into(), section: "/ui/validators", live: true, body })
}
