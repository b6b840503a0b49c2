//! The loop: a shift is seen, labels come late, and only training again brings the accuracy back.

use onramp::serving::{Feedback, FeedbackRun, Retrain};

use crate::engine::support::complaint;

fn alarms(run: &FeedbackRun) -> usize {
    run.without.iter().filter(|window| window.alarm).count()
}

#[test]
fn without_a_change_there_is_at_most_one_alarm_in_fifty_windows() {
    let run = Feedback::new(25_000).run().unwrap();
    assert_eq!(run.without.len(), 50);
    assert!(run.false_alarms() <= 1, "{}", run.table());
    assert_eq!(run.windows_to_detection(), None);
    assert!(run.accuracy_before().unwrap().median > 0.9, "{}", run.table());
}

#[test]
fn a_shift_of_the_inputs_is_seen_at_once_and_only_the_loop_recovers() {
    for seed in [0, 1] {
        let run = Feedback::new(9_000).inputs_shift(3_000, 1.0).seed(seed).run().unwrap();
        assert!(run.windows_to_detection().is_some_and(|windows| windows <= 2), "{}", run.table());
        assert!(run.false_alarms() <= 1, "{}", run.table());
        let before = run.accuracy_before().unwrap();
        let (without, with) = (run.accuracy_at_end(false).unwrap(), run.accuracy_at_end(true).unwrap());
        assert!(without.high < before.low - 0.1, "{}", run.table());
        assert!(with.low > without.high, "{}", run.table());
        assert!(with.median > before.median - 0.06, "{}", run.table());
        assert!(run.retrainings() >= 2);
        // Once 3,000 rows of after the alarm are the reference, there is nothing to be alarmed about.
        assert!(!run.with.last().unwrap().alarm && run.without.last().unwrap().alarm, "{}", run.table());
    }
}

#[test]
fn a_change_of_the_rule_is_seen_in_the_labels_alone() {
    let feedback = Feedback::new(9_000).rule_changes(3_000);
    let unseen = feedback.clone().run().unwrap();
    assert!(alarms(&unseen) <= 1 && unseen.retrainings() == alarms(&unseen), "{}", unseen.table());
    let before = unseen.accuracy_before().unwrap();
    let fallen = unseen.accuracy_at_end(true).unwrap();
    assert!(fallen.high < before.low - 0.2, "{}", unseen.table());
    let seen = feedback.retrain(Retrain::OnDriftOrAccuracy).run().unwrap();
    assert!(alarms(&seen) <= 1 && seen.retrainings() >= 2, "{}", seen.table());
    assert!(seen.accuracy_at_end(true).unwrap().low > fallen.high + 0.2, "{}", seen.table());
}

#[test]
fn labels_that_never_come_leave_nothing_to_learn_from() {
    let run = Feedback::new(6_000).inputs_shift(3_000, 1.0).labels(0.5, 6_000).run().unwrap();
    assert_eq!(run.retrainings(), 0);
    assert!(alarms(&run) >= 6);
    // Afterwards they come, so that the accuracy is known.
    assert!(run.without.iter().all(|window| window.accuracy.is_some()));
    let with: Vec<_> = run.with.iter().map(|window| &window.accuracy).collect();
    assert_eq!(with, run.without.iter().map(|window| &window.accuracy).collect::<Vec<_>>());
}

#[test]
fn a_run_can_be_stored_shown_and_repeated() {
    let feedback = Feedback::new(2_000).inputs_shift(1_000, 1.0);
    let run = feedback.run().unwrap();
    assert!(run == feedback.run().unwrap());
    let text = serde_json::to_string(&run).unwrap();
    assert_eq!(serde_json::from_str::<FeedbackRun>(&text).unwrap().table(), run.table());
    let text = run.table().to_string();
    assert!(text.contains("ALARM, feature") && text.contains("Labels came for 50 % of the requests"), "{text}");
    let text = run.figure().unwrap().to_string();
    assert!(text.contains("with retraining") && text.contains("the inputs shift"), "{text}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let feedback = Feedback::new(3_000);
    let text = complaint(feedback.clone().labels(0.0, 10).run());
    assert!(text.contains("a share of 0 of the requests"), "{text}");
    let text = complaint(feedback.clone().inputs_shift(3_000, 1.0).run());
    assert!(text.contains("nothing changes at request 3000 of 3000"), "{text}");
    let text = complaint(feedback.clone().window(2_000).run());
    assert!(text.contains("3000 requests in windows of 2000"), "{text}");
    let text = complaint(feedback.clone().watched([9]).run());
    assert!(text.contains("no feature 9"), "{text}");
    assert!(feedback.clone().recent(10).run().is_err() && feedback.window(0).run().is_err());
}
