use onramp::judgement::{Answer, Claim, Verdict, predict, times};
use onramp::measure::{Estimate, Provenance};

const BELIEF: &str = "Eight workers are eight times as fast";

fn claim() -> Claim {
    Claim::at_least("throughput of 8 workers over that of one", 7.2, "x")
}

fn setting(name: &str, low: f64, median: f64, high: f64) -> (String, Estimate, Provenance) {
    (name.into(), Estimate { median, low, high, samples: vec![low, median, high] }, Provenance::Replayed)
}

fn judge(settings: Vec<(String, Estimate, Provenance)>) -> Verdict {
    Verdict::judge(BELIEF, claim(), settings).unwrap()
}

#[test]
fn an_interval_wholly_below_the_claim_makes_a_myth() {
    let verdict = judge(vec![setting("64 rows", 1.9, 2.0, 2.1), setting("4,096 rows", 7.3, 7.5, 7.6)]);
    assert_eq!(verdict.answer, Answer::Myth);
    let text = verdict.to_string();
    assert!(text.starts_with("MYTH: \"Eight workers"), "{text}");
    assert!(text.contains("It fails at: 64 rows.") && text.contains("It holds at: 4,096 rows."), "{text}");
}

#[test]
fn intervals_wholly_inside_the_claim_hold_here() {
    let verdict = judge(vec![setting("4,096 rows", 7.3, 7.5, 7.6), setting("8,192 rows", 7.6, 7.7, 7.8)]);
    assert_eq!(verdict.answer, Answer::HoldsHere);
    assert!(verdict.to_string().starts_with("HOLDS HERE"));
}

#[test]
fn an_interval_across_the_claim_is_inconclusive_whatever_its_median_says() {
    for median in [7.0, 7.4] {
        let verdict = judge(vec![setting("4,096 rows", 7.3, 7.5, 7.6), setting("2,048 rows", 6.9, median, 7.5)]);
        assert_eq!(verdict.answer, Answer::Inconclusive);
        assert!(
            verdict.summary().contains("2,048 rows") && !verdict.summary().contains("4,096"),
            "{}",
            verdict.summary()
        );
    }
}

#[test]
fn each_kind_of_claim_compares_the_whole_interval() {
    let result = Estimate { median: 2.0, low: 1.0, high: 3.0, samples: vec![] };
    for (claim, answer) in [
        (Claim::at_least("q", 1.0, ""), Answer::HoldsHere),
        (Claim::at_least("q", 2.5, ""), Answer::Inconclusive),
        (Claim::at_least("q", 3.5, ""), Answer::Myth),
        (Claim::at_most("q", 3.0, ""), Answer::HoldsHere),
        (Claim::at_most("q", 1.5, ""), Answer::Inconclusive),
        (Claim::at_most("q", 0.5, ""), Answer::Myth),
        (Claim::between("q", 0.5, 3.5, ""), Answer::HoldsHere),
        (Claim::between("q", 1.5, 3.5, ""), Answer::Inconclusive),
        (Claim::between("q", 4.0, 5.0, ""), Answer::Myth),
    ] {
        assert_eq!(claim.answer(&result), answer, "{claim}");
    }
}

#[test]
fn the_conditions_and_the_prediction_are_part_of_the_verdict() {
    let settings = vec![setting("64 rows", 1.9, 2.0, 2.1)];
    let guess = predict("64 rows each: how many times?", times(4.0)).unwrap();
    let verdict = judge(settings.clone()).condition("link: 1 Gb/s").with_reveal(guess.reveal(&settings[0].1));
    for shown in [verdict.to_string(), verdict.html()] {
        assert!(shown.contains("link: 1 Gb/s") && shown.contains("off by a factor 2"), "{shown}");
        assert!(shown.contains("replayed") && shown.contains("MYTH"), "{shown}");
    }
    let again: Verdict = serde_json::from_value(serde_json::to_value(&verdict).unwrap()).unwrap();
    assert_eq!(again, verdict);
}

#[test]
fn html_from_a_belief_is_escaped() {
    let verdict = Verdict::judge("<script>", claim(), vec![setting("a < b", 8.0, 8.0, 8.0)]).unwrap();
    assert!(!verdict.html().contains("<script>") && verdict.html().contains("a &lt; b"));
}

#[test]
fn a_verdict_without_settings_or_with_an_impossible_claim_is_refused() {
    assert!(Verdict::judge(BELIEF, claim(), vec![]).is_err());
    assert!(Verdict::judge(BELIEF, Claim::at_least("q", f64::NAN, ""), vec![setting("a", 1.0, 1.0, 1.0)]).is_err());
    assert!(Verdict::judge(BELIEF, Claim::between("q", 2.0, 1.0, ""), vec![setting("a", 1.0, 1.0, 1.0)]).is_err());
    assert!(Verdict::judge(BELIEF, claim(), vec![setting("a", f64::NAN, 1.0, 1.0)]).is_err());
}
