//! Each mistake in parallel training shows up, and the right way does not.

use onramp::experiment::Attempt;
use onramp::prelude::*;

fn run() -> WrongParallelismRun {
    let options = ["unsorted variables", "sum for mean", "unshuffled shards"];
    let guess = predict("Which mistake does the most harm?", choice("sum for mean", options)).unwrap();
    WrongParallelism::new(Mlp::new(64)).run(&guess).unwrap()
}

#[test]
fn each_mistake_differs_from_the_right_way() {
    let run = run();
    let accuracy = |mistake: Option<Mistake>| run.attempt(mistake).unwrap().held_out.map_or(0.0, |at| at.accuracy);
    let right = run.attempt(None).unwrap();
    assert!(right.gradient_error < 1e-5, "right: gradient off by {}", right.gradient_error);
    assert_eq!(right.drift, Some(0.0), "replicas that get the same gradients stay equal to the bit");
    assert!(accuracy(None) > 0.9, "right: accuracy {}", accuracy(None));

    let unsorted = run.attempt(Some(Mistake::UnsortedVariables)).unwrap();
    assert!(unsorted.gradient_error > 0.3, "unsorted: gradient off by {}", unsorted.gradient_error);
    assert!(unsorted.drift.unwrap() > 0.05, "unsorted: models apart by {:?}", unsorted.drift);

    // The sum of 4 equal shares is 4 times the mean: off by 3 times the right length.
    let sum = run.attempt(Some(Mistake::SumForMean)).unwrap();
    assert!((sum.gradient_error - 3.0).abs() < 1e-3, "sum: gradient off by {}", sum.gradient_error);
    let worst = |attempt: &Attempt| attempt.losses.iter().copied().fold(0.0, f64::max);
    assert!(sum.held_out.is_none() || worst(sum) > 2.0 * worst(right), "sum: losses up to {}", worst(sum));
    assert!(accuracy(Some(Mistake::SumForMean)) < 0.5);

    // The gradients are right, the data are not.
    let unshuffled = run.attempt(Some(Mistake::UnshuffledShards)).unwrap();
    assert!(unshuffled.gradient_error < 1e-5, "unshuffled: gradient off by {}", unshuffled.gradient_error);
    let lost = accuracy(None) - accuracy(Some(Mistake::UnshuffledShards));
    assert!(lost > 0.03, "unshuffled: only {lost} of the accuracy is lost");

    let table = run.table().to_string();
    assert!(Mistake::ALL.iter().all(|mistake| table.contains(&mistake.to_string())), "{table}");
    assert!(run.figure().is_ok());
    assert!(run.reveal().right, "{}", run.reveal().text);
}
