//! Checks of Chutes and Hugging Face: each is asked one real question.

use leoma_protocol::MinerCommitment;

use super::check::Check;
use super::limit::limited;
use super::subnet::Seen;
use crate::config::Config;
use crate::miners::whose_fault::Control;
use crate::miners::{Chute, ChutesClient, HuggingFaceClient};
use crate::outbound::{Reach, ServiceError};

const CHUTES: &str = "Chutes";
const HUGGING_FACE: &str = "Hugging Face";
const LAST_STATE: &str = "nothing now: a miner's last known state counts for MINER_STATE_TTL";

/// Looks one miner's chute up with our key.
pub(super) async fn chutes(config: &Config, seen: &Seen) -> Check {
    if config.services.chutes_api_key.is_none() {
        return Check::skip(CHUTES, "CHUTES_API_KEY is not set");
    }
    let Some(chute_id) = committed_chute(seen) else {
        return Check::pass(CHUTES, "nothing to ask: no miner has committed a chute");
    };
    let asked = async {
        let client = ChutesClient::new(Reach::new(config.services.local_network), &config.services);
        anyhow::Ok(client?.chute(&chute_id).await)
    };
    limited(asked).await.map_or_else(|error| Check::warn(CHUTES, error, LAST_STATE), described)
}

/// What the description of a miner's chute shows. One that does not say whether the chute is
/// running is no use to a validator, although it shows that the key is good.
fn described(asked: Result<Chute, ServiceError>) -> Check {
    match asked.and_then(|chute| chute.is_running()) {
        Ok(true) => Check::pass(CHUTES, "takes our key, and describes a miner's chute"),
        Ok(false) => Check::pass(CHUTES, "takes our key (a miner's chute is not running)"),
        Err(ServiceError::Refused { status, .. }) => {
            Check::pass(CHUTES, format!("takes our key ({status} for a miner's chute)"))
        }
        Err(error @ ServiceError::Unauthorised { .. }) => {
            Check::fail(CHUTES, error.to_string(), "renew CHUTES_API_KEY, or top up its account")
        }
        Err(error) => Check::warn(CHUTES, error.to_string(), LAST_STATE),
    }
}

/// The chute of the miner that committed last.
fn committed_chute(seen: &Seen) -> Option<String> {
    let commitments = &seen.metagraph.as_ref().ok()?.commitments;
    let newest = commitments.iter().filter_map(|(hotkey, commitment)| {
        let parsed = MinerCommitment::parse(&commitment.text, hotkey).ok()?;
        Some((commitment.block, parsed.chute_id))
    });
    newest.max().map(|(_, chute_id)| chute_id)
}

/// Looks a public model up, with our token where there is one.
pub(super) async fn hugging_face(config: &Config) -> Check {
    let asked = async {
        let reach = Reach::new(config.services.local_network);
        anyhow::Ok(HuggingFaceClient::new(reach, &config.services)?.control().await)
    };
    match limited(asked).await {
        Ok(Control::Accepted) if config.services.hf_token.is_some() => {
            Check::pass(HUGGING_FACE, "takes our token")
        }
        Ok(Control::Accepted) => Check::pass(HUGGING_FACE, "answers"),
        Ok(Control::Refused(status)) => Check::fail(
            HUGGING_FACE,
            format!("refuses a public model with {status}"),
            "renew HF_TOKEN, or unset it: only gated models need one",
        ),
        Ok(_) => Check::warn(HUGGING_FACE, "does not answer", LAST_STATE),
        Err(error) => Check::warn(HUGGING_FACE, error, LAST_STATE),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Fail, Pass, Warn};
    use super::*;

    #[test]
    fn a_chute_that_is_not_described_in_full_is_a_warning_that_names_what_is_missing() {
        let chute = |hot| Ok(Chute { hot, slug: "slug".to_owned(), revision: None });
        assert_eq!(described(chute(Some(true))).outcome, Pass);
        assert!(described(chute(Some(false))).finding.contains("not running"));
        let missing = described(chute(None));
        assert_eq!(missing.outcome, Warn);
        assert!(missing.finding.contains("`hot`"), "{missing}");
        let refused = |status| {
            let (service, setting, code) = ("the Chutes API", "CHUTES_API_KEY", String::new());
            described(Err(ServiceError::Unauthorised { service, status, setting, code }))
        };
        assert_eq!(refused(401).outcome, Fail);
    }
}
