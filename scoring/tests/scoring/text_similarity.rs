//! A model that reads the prompt affects an answer's aspects. Its weights are small and follow a
//! rule, so its results mean nothing but are the same everywhere.

use crate::support;
use crate::support::Studio;
use crate::support::weights::published;
use leoma_scoring::learned::{LearnedError, TextModel};
use leoma_scoring::worker::ScorerOptions;
use leoma_scoring::{AspectPolicy, Aspects, DeviceChoice, Measures, Outcome, ScoreFault, Scorer};

fn scorer() -> Scorer {
    let policy = AspectPolicy { forbid_replay: false, ..AspectPolicy::SUBNET };
    Scorer::open(DeviceChoice::Cpu, policy).unwrap()
}

fn raw(outcome: Outcome) -> Measures {
    match outcome {
        Outcome::Usable { raw, .. } => raw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_that_reads_the_prompt_compares_answer_and_source() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let source = studio.scene("source.mp4");
    let answer = studio.copy("answer.mp4", "source.mp4", "negate=enable='gt(n,0)'");
    for name in ["clip", "siglip"] {
        let folder = published(name);
        let named = TextModel::at(folder.path()).unwrap();
        assert!(named.id.starts_with(&format!("{name}:")), "{}", named.id);
        let reader = scorer().with_text_model(&named).unwrap();
        let reference = reader.reference(&source).unwrap();
        let prompt = Some("a harbour at dusk");
        let own = raw(reader.score_prompted(&reference, prompt, &source).unwrap().outcome);
        assert_eq!(own.text_similarity, own.source_text_similarity);
        assert!(own.text_similarity.is_some());
        let other = raw(reader.score_prompted(&reference, prompt, &answer).unwrap().outcome);
        assert_eq!(other.source_text_similarity, own.source_text_similarity);
        let apart =
            |raw: &Measures| (raw.text_similarity.unwrap() - own.text_similarity.unwrap()).abs();
        // A tail after the task's time shows nothing to the model either.
        let filter = "tpad=stop_mode=clone:stop=40,negate=enable='gt(n,80)'";
        let long = studio.make(
            "long.mp4",
            "-i {}/source.mp4",
            &format!("-vf {filter} -c:v libx264 -qp 1 -pix_fmt yuv420p"),
        );
        let long = raw(reader.score_prompted(&reference, prompt, &long).unwrap().outcome);
        println!("{name}: {} apart, with a tail {}", apart(&other), apart(&long));
        // A third of the frames would be a third of the way.
        assert!(
            apart(&long) < apart(&other) / 10.0,
            "{name}: {} and {}",
            apart(&long),
            apart(&other)
        );
        // Without a prompt, or without a model, there is no similarity.
        for silent in [
            reader.score(&reference, &answer),
            scorer().score_prompted(&reference, prompt, &answer),
        ] {
            assert_eq!(raw(silent.unwrap().outcome).text_similarity, None);
        }
    }
}

#[test]
fn what_the_model_says_is_a_part_of_prompt_adherence() {
    if support::ffmpeg().is_none() {
        return;
    }
    let studio = Studio::new();
    let source = studio.scene("source.mp4");
    let scorer = scorer();
    let reference = scorer.reference(&source).unwrap();
    let good = raw(scorer.score(&reference, &source).unwrap().outcome);
    let policy = AspectPolicy::SUBNET;
    let adherence = |raw: &Measures| Aspects::from_measures(raw, &policy).prompt_adherence.as_f64();
    let read = |answer, source| Measures {
        text_similarity: Some(answer),
        source_text_similarity: Some(source),
        ..good
    };
    assert_eq!(adherence(&good), 100.0);
    assert_eq!(adherence(&read(0.3, 0.3)), 100.0);
    let half = adherence(&read(0.225, 0.3));
    assert!((80.0..90.0).contains(&half), "{half}");
    assert_eq!(adherence(&read(0.15, 0.3)), 0.0);
    assert!(Aspects::weaknesses(&read(0.15, 0.3), &policy).contains("text_similarity 0.500"));
    // It counts beside the direction of motion, and a model that finds next to nothing in the
    // source does not count.
    let elsewhere = Measures { direction: -1.0, ..read(0.3, 0.3) };
    assert_eq!(adherence(&elsewhere), 0.0);
    for unread in [-0.2, 0.01] {
        assert_eq!(adherence(&read(0.0, unread)), 100.0);
    }
}

#[test]
fn a_model_is_named_by_its_files_and_a_missing_or_replaced_one_is_refused() {
    let folder = published("clip");
    let named = TextModel::at(folder.path()).unwrap();
    assert_eq!(TextModel::at(folder.path()).unwrap(), named);
    let options = ScorerOptions { text_model: Some(named.clone()), ..ScorerOptions::default() };
    assert_eq!(options.judge_id(), format!("{}+{}", ScorerOptions::default().judge_id(), named.id));

    std::fs::write(folder.path().join("preprocessor_config.json"), "{}").unwrap();
    let now = TextModel::at(folder.path()).unwrap();
    assert_ne!(now.id, named.id);
    let refused = |model: &TextModel| scorer().with_text_model(model).unwrap_err();
    if support::ffmpeg().is_some() {
        assert!(
            matches!(refused(&named), ScoreFault::Learned(LearnedError::Replaced { .. })),
            "{}",
            refused(&named)
        );
    }
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let missing = TextModel::at(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("model.safetensors") && missing.contains("Hugging Face"), "{missing}");
}
