//! Checks of what videos are judged with: the walls around decoders, and Gemini.

use leoma_scoring::media::{Ffmpeg, Limits, Walls, decode, known_good_clip};

use super::check::Check;
use super::limit::in_words;
use crate::config::Config;
use crate::outbound::{Gemini, Reach};

const JAIL: &str = "decoder jail";
const JUDGE: &str = "judge";

/// Which walls stand between a hostile video and this validator, and whether ffmpeg works behind
/// them.
pub(super) async fn jail() -> Check {
    let looked = tokio::task::spawn_blocking(|| {
        let ffmpeg = Ffmpeg::find().map_err(|missing| missing.to_string())?;
        let clip = known_good_clip(&ffmpeg);
        let clip = clip.and_then(|clip| decode(&ffmpeg, &clip, &Limits::ANSWER));
        clip.map(|_| Walls::standing()).map_err(in_words)
    });
    match looked.await.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(walls) => jail_of(walls),
        Err(error) => Check::fail(
            JAIL,
            format!("ffmpeg does not code and decode a clip behind the walls: {error}"),
            "install ffmpeg with libx264 as a program, not as a script or a snap",
        ),
    }
}

fn jail_of(walls: &Walls) -> Check {
    let missing = walls.missing();
    if missing.is_empty() {
        return Check::pass(JAIL, walls.to_string());
    }
    let finding = format!("stand: {walls}; missing: {}", missing.join("; "));
    let next_step = "SECURITY.md says what each wall keeps out and what it needs";
    Check::warn(JAIL, finding, next_step)
}

/// Asks Gemini one real question, where it judges: a key that is set may be refused, and a model
/// that is listed may be retired.
pub(super) async fn generation(config: &Config) -> Check {
    if !config.judging.judge.asks_gemini() {
        return Check::pass(JUDGE, "the metrics alone");
    }
    let services = &config.services;
    let Some(key) = &services.gemini_api_key else {
        return Check::skip(JUDGE, "GEMINI_API_KEY is not set");
    };
    let proved = async {
        let client = Reach::new(services.local_network).api_client()?;
        let gemini = Gemini::new(client, &services.gemini_api_url, &services.gemini_model, key)?;
        anyhow::Ok(gemini.prove().await?)
    };
    match proved.await {
        Ok(model) => Check::pass(JUDGE, format!("{model} described a clip")),
        Err(error) => Check::fail(
            JUDGE,
            format!("{error:#}"),
            "check GEMINI_API_KEY and its quota, and whether GEMINI_MODEL is still served",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckOutcome::{Pass, Warn};
    use super::*;

    #[test]
    fn j5_a_missing_wall_is_a_warning_that_names_it() {
        let all = Walls { files: Ok(()), system_calls: Ok(()), network: Ok(()) };
        assert_eq!(jail_of(&all).outcome, Pass);
        let refused = Err("Operation not permitted (os error 1)".to_owned());
        let check = jail_of(&Walls { network: refused, ..all });
        assert_eq!(check.outcome, Warn);
        assert!(check.finding.contains("missing: network (namespace): Operation"), "{check}");
    }
}
