//! The law of a search that looks at every row.

use super::{alone, complaint};
use onramp::judgement::Answer;
use onramp::serving::{Lie, NeighbourSearch, SearchRun};

#[test]
fn time_grows_with_the_rows_and_passes_any_limit() {
    let _alone = alone();
    let search = NeighbourSearch::new().limit_seconds(0.005);
    // A busy machine may bend a line, but not every time.
    let run = (0..3).map(|_| search.run().unwrap()).find(|run| run.slope.low >= 0.9 && run.beyond.seconds.low > 0.005);
    let run = run.expect("three runs without a line that predicts its break");
    assert_eq!(run.beyond.rows, 2 * run.break_rows);
    // Twice the rows take twice the limit, give or take what a shared machine does.
    assert!((1.2..4.0).contains(&(run.beyond.seconds.median / 0.005)), "{}", run.table());
    assert_eq!(run.verdict("a simple architecture handles unlimited data").unwrap().answer, Answer::Myth);
    let law = run.fit().unwrap();
    assert!((0.8..1.6).contains(&law.parameter("b").unwrap().value), "{law}");
    let at = |lie: Lie, probes: usize| run.cells.iter().find(|one| one.lie == lie && one.probes == probes).unwrap();
    for probes in [1, 4, 16] {
        let (clustered, anywhere) = (at(Lie::Clustered, probes), at(Lie::Uniform, probes));
        assert!(clustered.recall.median > anywhere.recall.median + 0.1, "{}", run.table());
        assert!(clustered.looked_at < 0.2);
    }
    let whole = run.cells.iter().filter(|one| one.probes == one.cells);
    assert!(whole.clone().count() == 2 && whole.into_iter().all(|one| one.recall.median == 1.0));
    // A few cells are faster than everything, and find most of it.
    let few = at(Lie::Clustered, 16);
    assert!(few.recall.median > 0.9 && few.seconds.high < run.points.last().unwrap().seconds.low, "{}", run.table());
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<SearchRun>(&text).unwrap().break_rows, run.break_rows);
    assert!(run.figure().unwrap().to_string().contains("N_break"));
    assert!(run.recall_figure().unwrap().to_string().contains("rows anywhere"));
}

#[test]
fn searches_without_a_law_are_refused() {
    let _alone = alone();
    let text = complaint(NeighbourSearch::new().rows([1_000, 10_000]).run());
    assert!(text.contains("show no law"), "{text}");
    let text = complaint(NeighbourSearch::new().rows([10_000, 12_000, 14_000]).limit_seconds(1e6).run());
    assert!(text.contains("Choose another limit"), "{text}");
    assert!(NeighbourSearch::new().limit_seconds(f64::NAN).run().is_err());
}
