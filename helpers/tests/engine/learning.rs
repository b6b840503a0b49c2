//! Models really learn.

use onramp::prelude::*;

#[test]
fn the_digits_are_learned() {
    let run = Training::new(Mlp::new(64).inputs(64)).data(Source::digits()).rows_per_step(32).steps(600).run().unwrap();
    assert!(run.accuracy() > 0.9, "held-out accuracy {}", run.accuracy());
    let untrained = run.evaluations[0].held_out;
    assert!(untrained.accuracy < 0.3, "accuracy {} before any step", untrained.accuracy);
    assert!(run.loss() < untrained.loss / 3.0);
    assert_eq!(run.losses.len(), 600);
}

#[test]
fn the_teachers_rows_are_learned() {
    let run = Training::new(Mlp::new(64)).data(Source::teacher(4000)).steps(200).evaluate_every(200).run().unwrap();
    assert!(run.accuracy() > 0.5, "held-out accuracy {}", run.accuracy());
}

#[test]
fn a_run_can_be_repeated_exactly() {
    let training = Training::new(Mlp::new(16).inputs(64)).data(Source::digits()).steps(20).seed(4);
    let (one, two) = (training.run().unwrap(), training.run().unwrap());
    assert_eq!(one.losses, two.losses);
    assert_ne!(one.losses, training.seed(5).run().unwrap().losses);
}

#[test]
fn training_stops_at_its_target_and_notices_divergence() {
    let training = Training::new(Mlp::new(32).inputs(64)).data(Source::digits()).steps(2000).evaluate_every(5);
    let reached = training.clone().stop_at_loss(1.0).run().unwrap();
    let steps = reached.steps_to_target.unwrap();
    assert!(steps < 2000 && steps == reached.losses.len() && reached.loss() <= 1.0, "{steps} steps");
    assert!(!reached.diverged);

    let run = training.learning_rate(1e6).run().unwrap();
    assert!(run.diverged && run.losses.len() < 2000);
    assert!(run.losses.iter().all(|loss| loss.is_finite()));
}

#[test]
fn a_models_size_is_what_the_formula_says() {
    let model = Mlp::new(256);
    assert_eq!(model.parameters(), 269_322);
    assert_eq!(model.gradient_bytes(), 1_077_288);
    assert_eq!(model.flops_per_row(), 6.0 * 269_322.0 - 2.0 * 784.0 * 256.0);
    let network = model.build(0, &Device::Cpu).unwrap();
    assert_eq!(network.parameters().unwrap().len(), 269_322);
    let names: Vec<&str> = network.variables().iter().map(|(name, _)| name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    // The same seed gives the same weights, another seed other ones.
    assert_eq!(network.parameters().unwrap(), model.build(0, &Device::Cpu).unwrap().parameters().unwrap());
    assert_ne!(network.parameters().unwrap(), model.build(1, &Device::Cpu).unwrap().parameters().unwrap());
}

#[test]
fn parameters_can_be_taken_out_and_put_back() {
    let model = Mlp::new(8).inputs(4).outputs(3);
    let (one, two) = (model.build(1, &Device::Cpu).unwrap(), model.build(2, &Device::Cpu).unwrap());
    two.set_parameters(&one.parameters().unwrap()).unwrap();
    assert_eq!(one.parameters().unwrap(), two.parameters().unwrap());
    assert!(two.set_parameters(&[0.0; 3]).is_err());
}
