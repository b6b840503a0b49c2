//! The law of a pipeline of stages.

use super::{alone, complaint};
use onramp::serving::{Stage, Stages, StagesRun};

/// How far a gain is from its prediction.
fn apart(predicted: f64, measured: f64) -> f64 {
    (predicted / measured).max(measured / predicted)
}

#[test]
fn the_gain_of_a_faster_stage_is_known_before() {
    let _alone = alone();
    // The model's stage takes most of the time, so that making it faster gains much either way.
    let stages = Stages::new().rows(10_000, 200).weight(Stage::Model, 4).faster(Stage::Model, 4);
    let fits = |run: &StagesRun| {
        apart(run.serial.predicted_gain, run.serial.gain().median) < 1.25
            && apart(run.pipelined.predicted_gain, run.pipelined.gain().median) < 1.4
    };
    let run = (0..3).map(|_| stages.run().unwrap()).find(fits).expect("three runs far from the law");
    assert!(run.serial.gain().low > 1.2, "{}", run.table());
    assert_eq!(run.stages.len(), 5);
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<StagesRun>(&text).unwrap().experiment, stages);
    assert!(run.table().to_string().contains("model made 4 times faster"));
    assert!(run.figure().unwrap().to_string().contains("as a pipeline"));
}

#[test]
fn a_stage_that_is_not_the_bottleneck_gains_little_where_the_bottleneck_sets_the_pace() {
    let _alone = alone();
    let stages = Stages::new().rows(6_000, 200).weight(Stage::Parse, 12).faster(Stage::Encode, 4);
    let little = |run: &StagesRun| run.pipelined.gain().median < 1.15;
    let run = (0..3).map(|_| stages.run().unwrap()).find(little).expect("three runs with a gain from nothing");
    assert_eq!(run.bottleneck(), Stage::Parse);
    assert!(run.bottleneck_sets_the_pace(), "{}", run.table());
    assert!(run.pipelined.predicted_gain < 1.05, "{}", run.table());
}

#[test]
fn stages_that_stay_the_same_are_refused() {
    let _alone = alone();
    let text = complaint(Stages::new().faster(Stage::Parse, 1).run());
    assert!(text.contains("nothing was varied") && text.contains("'parse'"), "{text}");
    assert!(Stages::new().rows(100, 100).run().is_err() && Stages::new().weight(Stage::Read, 0).run().is_err());
}
