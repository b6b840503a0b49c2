use onramp::judgement::{Prediction, choice, percent, predict, rows, seconds, times};
use onramp::measure::Estimate;

const QUESTION: &str = "How many times as fast are two workers?";

fn measured(low: f64, median: f64, high: f64) -> Estimate {
    Estimate { median, low, high, samples: vec![low, median, high] }
}

#[test]
fn a_guess_keeps_its_question_number_and_unit() {
    let guesses = [
        (times(4.0), 4.0, "times"),
        (rows(500.0), 500.0, "rows"),
        (percent(50.0), 50.0, "%"),
        (seconds(1.5), 1.5, "s"),
    ];
    for (quantity, value, unit) in guesses {
        let guess = predict(QUESTION, quantity).unwrap();
        assert_eq!((guess.question(), guess.value(), guess.unit()), (QUESTION, value, unit));
    }
    let guess = predict("Which is faster?", choice("two", ["one", "two"])).unwrap();
    assert_eq!((guess.value(), guess.unit(), guess.to_string().as_str()), (1.0, "choice", "two"));
}

#[test]
fn guesses_that_can_not_be_are_refused_with_the_value() {
    for (quantity, wanted) in [
        (times(-1.0), "-1 times"),
        (seconds(f64::NAN), "NaN s"),
        (rows(f64::INFINITY), "inf rows"),
        (percent(120.0), "120 %"),
        (choice("three", ["one", "two"]), "choose one of: one, two"),
    ] {
        let text = predict(QUESTION, quantity).unwrap_err().to_string();
        assert!(text.contains(wanted), "{text}");
    }
    assert!(predict("  ", times(2.0)).is_err());
}

#[test]
fn the_reveal_says_by_which_factor_the_guess_missed() {
    let guess = predict(QUESTION, times(4.0)).unwrap();
    let high = guess.reveal(&measured(1.9, 2.0, 2.1));
    assert_eq!(high.text, "you said 4x, measured 2x (1.90 to 2.10): off by a factor 2");
    assert_eq!((high.right, high.factor), (false, Some(2.0)));
    let low = guess.reveal(&measured(7.9, 8.0, 8.1));
    assert_eq!(low.factor, Some(2.0), "a miss counts the same on both sides");
    let right = guess.reveal(&measured(3.9, 4.2, 4.3));
    assert!(right.right && right.text.ends_with("right, within the interval"), "{}", right.text);
    let zero = predict(QUESTION, times(0.0)).unwrap().reveal(&measured(1.9, 2.0, 2.1));
    assert!(zero.factor.is_none() && zero.text.contains("no factor"), "{}", zero.text);
}

#[test]
fn a_choice_is_right_or_not() {
    let guess = predict("Which is faster?", choice("two", ["one", "two"])).unwrap();
    assert!(guess.reveal_choice("two").right);
    let wrong = guess.reveal_choice("one");
    assert!(!wrong.right && wrong.text.contains("you said \"two\", the run said \"one\""), "{}", wrong.text);
}

#[test]
fn a_guess_survives_serde() {
    for quantity in [times(4.0), choice("a", ["a", "b"])] {
        let guess = predict(QUESTION, quantity).unwrap();
        let again: Prediction = serde_json::from_value(serde_json::to_value(&guess).unwrap()).unwrap();
        assert_eq!(again, guess);
    }
}
