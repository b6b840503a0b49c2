//! Optimisers beyond their formulas, which are compared with PyTorch's: schedules, accumulation, bad input.

use onramp::prelude::*;
use onramp::training::Gradients;

use super::complaint;

#[test]
fn the_learning_rate_warms_up_and_falls_along_a_cosine() {
    let optimiser = Optimiser::sgd(2.0).warm_up(4).cosine(12);
    let rates: Vec<f64> = [0, 1, 3, 4, 8, 12, 50].map(|step| optimiser.learning_rate_at(step)).to_vec();
    let expected = [0.5, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0];
    assert!(rates.iter().zip(expected).all(|(rate, expected)| (rate - expected).abs() < 1e-12), "{rates:?}");
    assert_eq!(Optimiser::sgd(2.0).learning_rate_at(1_000_000), 2.0);
}

#[test]
fn accumulated_gradients_are_those_of_the_joined_batch() {
    let network = Mlp::new(16).build(0, &Device::Cpu).unwrap();
    let rows = Teacher::new(30).generate().unwrap();
    let batch = |start, end| rows.batch_range(start, end, network.device()).unwrap();
    let (loss, whole) = Gradients::of(&network, &batch(0, 30)).unwrap();
    // Parts of different sizes, so that a mean of means would be wrong.
    let parts = [batch(0, 5), batch(5, 12), batch(12, 30)];
    let (accumulated_loss, accumulated) = Gradients::accumulated(&network, &parts).unwrap();
    assert!((loss - accumulated_loss).abs() < 1e-6);
    assert!(accumulated.relative_error(&whole).unwrap() < 1e-5);
    assert!(complaint(Gradients::accumulated(&network, &[])).contains("0 batches"));
}

#[test]
fn micro_batches_change_the_memory_and_not_the_result() {
    let training = Training::new(Mlp::new(16).inputs(64)).data(Source::digits()).rows_per_step(30).steps(20);
    let (whole, parts) = (training.run().unwrap(), training.micro_batches(4).run().unwrap());
    assert_eq!(whole.losses.len(), parts.losses.len());
    assert!(whole.losses.iter().zip(&parts.losses).all(|(a, b)| (a - b).abs() < 1e-3));
}

#[test]
fn adamw_learns_the_digits() {
    let training = Training::new(Mlp::new(64).inputs(64)).data(Source::digits()).rows_per_step(32).steps(300);
    let run = training.optimiser(Optimiser::adamw(3e-3).clip_norm(1.0).warm_up(20).cosine(300)).run().unwrap();
    assert!(run.accuracy() > 0.9, "held-out accuracy {}", run.accuracy());
}

#[test]
fn a_state_can_be_taken_out_and_put_back_into_its_own_kind_only() {
    let network = Mlp::new(4).build(0, &Device::Cpu).unwrap();
    let mut adamw = Optimiser::adamw(1e-3).start(&network).unwrap();
    let moments: Vec<f32> = (0..2 * Mlp::new(4).parameters()).map(|index| index as f32).collect();
    adamw.restore(7, &moments).unwrap();
    assert_eq!((adamw.steps(), adamw.moments().unwrap()), (7, moments.clone()));
    let mut plain = Optimiser::sgd(1e-3).start(&network).unwrap();
    assert!(complaint(plain.restore(7, &moments)).contains("has 0"));
}

#[test]
fn settings_that_make_no_sense_are_refused_with_their_value() {
    let network = Mlp::new(4).build(0, &Device::Cpu).unwrap();
    let refused = [
        (Optimiser::sgd(0.0), "learning rate is 0"),
        (Optimiser::sgd(f64::NAN), "learning rate is NaN"),
        (Optimiser::sgd(0.1).momentum(1.0), "momentum is 1"),
        (Optimiser::adamw(0.1).weight_decay(-0.5), "weight decay is -0.5"),
        (Optimiser::adamw(0.1).clip_norm(0.0), "norm of 0"),
        (Optimiser::adamw(0.1).warm_up(50).cosine(50), "ends at step 50"),
    ];
    for (optimiser, part) in refused {
        let text = complaint(optimiser.start(&network));
        assert!(text.contains(part), "{text}");
    }
    let training = Training::new(Mlp::new(4)).rows_per_step(8).micro_batches(9);
    assert!(complaint(training.run()).contains("9 micro-batches"));
}
