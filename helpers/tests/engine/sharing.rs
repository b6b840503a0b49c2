//! Every way of sharing a training run ends where one worker does, or is as far from it as its method says.

use std::time::{Duration, Instant};

use onramp::communication::Synchronisation;
use onramp::prelude::*;
use onramp::sharing::Compressor;
use onramp::training::Gradients;

use super::complaint;

fn digits() -> Training {
    Training::new(Mlp::new(32).inputs(64)).data(Source::digits()).rows_per_step(48).steps(25).evaluate_every(10).seed(4)
}

fn text(width: usize) -> Training {
    let source = Source::text(400);
    let model = Transformer::new(width);
    Training::new(model).data(source).rows_per_step(8).steps(6).optimiser(Optimiser::adamw(1e-3)).evaluate_every(3)
}

/// The parameters after the same training by one worker, without anything that workers share.
fn alone(training: &Training) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alone");
    training.run_saving(&Checkpoints::at(&file).every(1_000)).unwrap();
    Checkpoint::load(&file).unwrap().variables.into_iter().flat_map(|(_, values)| values).collect()
}

/// The length of the difference over the length of the way that training moved.
fn distance(found: &[f32], expected: &[f32], training: &Training, model: impl Architecture) -> f64 {
    assert_eq!(found.len(), expected.len());
    let seed = serde_json::to_value(training).unwrap()["seed"].as_u64().unwrap();
    let start = model.build(seed, &Device::Cpu).unwrap().parameters().unwrap();
    let length =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt() };
    length(found, expected) / length(expected, &start)
}

fn run(training: &Training, workers: usize, sharing: Sharing) -> SharedRun {
    SharedTraining::new(training.clone(), workers).sharing(sharing).run().unwrap()
}

#[test]
fn gradients_averaged_in_every_step_give_the_parameters_of_one_worker() {
    let training = digits();
    let model = Mlp::new(32).inputs(64);
    let expected = alone(&training);
    for workers in [1, 2, 3, 4] {
        let ways = [
            Sharing::every_step(),
            Sharing::overlapped(4),
            Sharing::overlapped(5_000),
            Sharing::overlapped(1 << 20),
            Sharing::LocalSteps { steps: 1 },
        ];
        for way in ways {
            let run = run(&training, workers, way);
            let error = distance(&run.parameters, &expected, &training, model);
            assert!(error < 1e-4, "{workers} workers, {way}: {error}");
            assert_eq!(run.losses.len(), 25);
            assert_eq!(run.evaluations.iter().map(|at| at.step).collect::<Vec<_>>(), [0, 10, 20, 25]);
        }
    }
    // The losses are those of one worker, too.
    let (one, four) = (training.run().unwrap(), run(&training, 4, Sharing::every_step()));
    for (own, shared) in one.losses.iter().zip(&four.losses) {
        assert!((own - shared).abs() < 1e-4, "{own} alone, {shared} by four");
    }
}

#[test]
fn layers_run_together_give_the_parameters_of_one_worker() {
    let training = digits();
    for workers in [1, 2, 4] {
        let run = run(&training, workers, Sharing::Tensor);
        let error = distance(&run.parameters, &alone(&training), &training, Mlp::new(32).inputs(64));
        assert!(error < 1e-4, "{workers} workers: {error}");
    }
    for (width, workers) in [(64, 2), (128, 4)] {
        let training = text(width);
        let run = run(&training, workers, Sharing::Tensor);
        let error = distance(&run.parameters, &alone(&training), &training, Transformer::new(width));
        assert!(error < 1e-2, "a transformer by {workers} workers: {error}");
    }
}

#[test]
fn a_pipeline_gives_the_parameters_of_one_worker() {
    let training = digits();
    for (workers, micro_batches) in [(1, 1), (2, 4), (3, 6), (2, 48)] {
        let run = run(&training, workers, Sharing::Pipeline { micro_batches });
        let error = distance(&run.parameters, &alone(&training), &training, Mlp::new(32).inputs(64));
        assert!(error < 1e-4, "{workers} workers, {micro_batches} micro-batches: {error}");
        assert_eq!(run.losses.len(), 25);
    }
    for (workers, micro_batches) in [(2, 2), (4, 8)] {
        let training = text(64);
        let run = run(&training, workers, Sharing::Pipeline { micro_batches });
        let error = distance(&run.parameters, &alone(&training), &training, Transformer::new(64));
        assert!(error < 1e-2, "a transformer by {workers} workers: {error}");
    }
}

#[test]
fn what_is_sent_is_what_the_calls_say() {
    let training = digits().steps(1);
    let model = Model::from(Mlp::new(32).inputs(64));
    let ways = [
        Sharing::every_step(),
        Sharing::overlapped(5_000),
        Sharing::LocalSteps { steps: 1 },
        Sharing::Tensor,
        Sharing::compressed(Compression::Int8),
        Sharing::compressed(Compression::TopK { share: 0.01 }),
        Sharing::compressed(Compression::PowerSgd { rank: 2 }),
    ];
    for way in ways {
        for workers in [2, 4] {
            let sent: u64 = match way {
                // Parameters are gathered for the evaluations, which is no part of a step.
                Sharing::Tensor | Sharing::LocalSteps { .. } => {
                    let longer = run(&training.clone().steps(2).evaluate_every(10), workers, way);
                    let shorter = run(&training.clone().evaluate_every(10), workers, way);
                    longer.bytes_sent.iter().sum::<u64>() - shorter.bytes_sent.iter().sum::<u64>()
                }
                _ => run(&training, workers, way).bytes_sent.iter().sum(),
            };
            let calls = way.calls(&model, 48, Algorithm::Ring, workers).unwrap();
            let numbers: usize = calls
                .iter()
                .flat_map(|(collective, elements)| collective.rounds(workers, *elements))
                .flatten()
                .map(|transfer| transfer.elements.len())
                .sum();
            let ratio = sent as f64 / (4 * numbers) as f64;
            assert!(
                (ratio - 1.0).abs() < 0.01,
                "{way}, {workers} workers: {sent} bytes, {numbers} numbers by the calls"
            );
        }
    }
}

#[test]
fn compressed_gradients_are_small_and_still_learn() {
    let training = digits().steps(300).rows_per_step(64).evaluate_every(300);
    let plain = run(&training, 2, Sharing::every_step());
    assert!(plain.accuracy() > 0.9, "{}", plain.accuracy());
    let ways =
        [(Compression::Int8, 3.8), (Compression::TopK { share: 0.01 }, 40.0), (Compression::PowerSgd { rank: 2 }, 4.0)];
    for (compression, smaller) in ways {
        let run = run(&training, 2, Sharing::compressed(compression));
        let ratio = plain.bytes_sent[0] as f64 / run.bytes_sent[0] as f64;
        assert!(ratio > smaller, "{compression}: {ratio} times fewer bytes, expected {smaller}");
        assert!(
            run.accuracy() > plain.accuracy() - 0.05,
            "{compression}: {} against {}",
            run.accuracy(),
            plain.accuracy()
        );
    }
}

/// Gradients of a small network with these numbers.
fn gradients_of(seed: u64) -> Gradients {
    let network = Mlp::new(16).inputs(64).build(0, &Device::Cpu).unwrap();
    let data = Source::digits().load(seed).unwrap();
    Gradients::of(&network, &data.train.batch_range(0, 16, network.device()).unwrap()).unwrap().1
}

#[test]
fn what_compression_leaves_out_comes_later() {
    // The same gradients step after step: what was sent in all comes nearer to what was to be sent, step by step.
    for compression in [Compression::Int8, Compression::TopK { share: 0.05 }, Compression::PowerSgd { rank: 1 }] {
        let sent = |steps: usize| -> f64 {
            let errors = Team::new(2)
                .unwrap()
                .run(|mut worker| {
                    let mut compressor = Compressor::new(compression);
                    let own = gradients_of(worker.rank() as u64);
                    let mut sum = vec![0.0; own.elements()];
                    for _ in 0..steps {
                        let mut gradients = own.clone();
                        compressor.average(&mut gradients, &mut worker)?;
                        sum.iter_mut().zip(gradients.to_flat()?).for_each(|(sum, value)| *sum += value);
                    }
                    let mut mean = own.clone();
                    Synchronisation::default().average(&mut mean, &mut worker)?;
                    sum.iter_mut().for_each(|sum| *sum /= steps as f32);
                    let mut sent = own.clone();
                    sent.set_flat(sum.clone())?;
                    sent.relative_error(&mean)
                })
                .unwrap();
            assert_eq!(errors[0], errors[1], "all workers end with the same numbers");
            errors[0]
        };
        let (first, later) = (sent(1), sent(40));
        assert!(first > 1e-4, "{compression}: nothing was left out");
        assert!(later < 0.3 * first, "{compression}: {first} after one step, {later} after 40");
    }
}

#[test]
fn a_matrix_of_low_rank_survives_power_sgd() {
    // All columns are multiples of one: rank 1 says all of it, from the second step on exactly.
    let run = Team::new(2)
        .unwrap()
        .run(|mut worker| {
            let mut gradients = gradients_of(0);
            let elements = gradients.elements();
            let mut flat = vec![0.0; elements];
            // layer1.bias 16, layer1.weight (64, 16), and so on.
            for row in 0..64 {
                for column in 0..16 {
                    flat[16 + 16 * row + column] = (row as f32 - 31.0) * (column as f32 + 1.0);
                }
            }
            gradients.set_flat(flat)?;
            let expected = gradients.clone();
            Compressor::new(Compression::PowerSgd { rank: 1 }).average(&mut gradients, &mut worker)?;
            gradients.relative_error(&expected)
        })
        .unwrap();
    assert!(run[0] < 1e-5, "{}", run[0]);
}

#[test]
fn local_steps_talk_less_and_still_learn() {
    let training = digits().steps(256).rows_per_step(64).evaluate_every(256);
    let (often, seldom) =
        (run(&training, 2, Sharing::every_step()), run(&training, 2, Sharing::LocalSteps { steps: 16 }));
    let ratio = often.bytes_sent[0] as f64 / seldom.bytes_sent[0] as f64;
    // 16 averages, and one more for the evaluation.
    assert!((14.0..17.0).contains(&ratio), "{ratio}");
    assert!(seldom.accuracy() > often.accuracy() - 0.05, "{} against {}", seldom.accuracy(), often.accuracy());
}

#[test]
fn asynchronous_workers_learn_and_their_gradients_are_late() {
    let training = digits().steps(200).rows_per_step(64).evaluate_every(50);
    for way in [Sharing::ParameterServer, Sharing::Hogwild] {
        let run = run(&training, 2, way);
        assert!(run.accuracy() > 0.9, "{way}: {}", run.accuracy());
        assert_eq!(run.losses.len(), 200);
        assert_eq!(run.evaluations.last().unwrap().step, 200);
        assert!(run.evaluations.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
    }
    // A gradient of one of four workers has missed what the other three sent meanwhile, more or less.
    let run = run(&training, 4, Sharing::ParameterServer);
    let missed = run.mean_staleness().unwrap();
    assert!((1.0..6.0).contains(&missed), "{missed}");
    assert_eq!(run.staleness.len(), 4 * 200);
    // A lone worker's gradients miss nothing, and it is plain training.
    let alone_with_server = self::run(&digits(), 1, Sharing::ParameterServer);
    assert_eq!(alone_with_server.mean_staleness(), Some(0.0));
    for way in [Sharing::ParameterServer, Sharing::Hogwild] {
        let run = self::run(&digits(), 1, way);
        let error = distance(&run.parameters, &alone(&digits()), &digits(), Mlp::new(32).inputs(64));
        assert!(error < 1e-4, "{way}: {error}");
    }
}

#[test]
fn a_stopped_shared_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let training = digits().optimiser(Optimiser::adamw(3e-3).warm_up(5)).steps(60).evaluate_every(15);
    let shared = |file: &str, steps: usize| {
        let checkpoints = Checkpoints::at(folder.path().join(file)).every(10);
        SharedTraining::new(training.clone().steps(steps), 3).saving(checkpoints).run().unwrap()
    };
    let whole = shared("whole", 60);
    shared("parts", 20);
    shared("parts", 40);
    let parts = shared("parts", 60);
    assert_eq!(whole.losses, parts.losses);
    assert_eq!(whole.parameters, parts.parameters);
    let held_out = |run: &SharedRun, step| run.evaluations.iter().find(|at| at.step == step).unwrap().held_out;
    assert_eq!(held_out(&whole, 15), held_out(&parts, 15));
    assert_eq!(held_out(&whole, 60), held_out(&parts, 60));
    // A finished run is not run again.
    let again = shared("parts", 60);
    assert_eq!((again.losses, again.parameters), (parts.losses, parts.parameters));
    // And another description is refused.
    let other = SharedTraining::new(training.clone(), 2).saving(Checkpoints::at(folder.path().join("parts")));
    let text = complaint(other.run());
    assert!(text.contains("whose workers is 3, and this run's is 2"), "{text}");
    let text = complaint(training.run_saving(&Checkpoints::at(folder.path().join("parts"))));
    assert!(text.contains("is not set") || text.contains("not set"), "{text}");
}

#[test]
fn a_worker_that_goes_silent_ends_the_run_and_the_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run");
    let checkpoints = Checkpoints::at(&file).every(5);
    let run = |training: SharedTraining| {
        let start = Instant::now();
        let text = complaint(training.run());
        (text, start.elapsed())
    };
    SharedTraining::new(digits().steps(10), 2).saving(checkpoints.clone()).run().unwrap();
    // Worker 1 takes a million times as long for its part of a step; the others wait no longer than they are told to.
    // The checkpoint is one of the run without it, so it is written under the straggler's description first.
    let slow =
        |file| SharedTraining::new(digits().steps(10), 2).saving(Checkpoints::at(file).every(5)).straggler(1, 1e6);
    let (text, took) = run(slow(folder.path().join("none")).patience(Duration::from_millis(500)));
    assert!(text.contains("for worker 1") && text.contains("There is no checkpoint yet"), "{text}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let (text, _) = run(slow(file.clone()));
    assert!(text.contains("straggler"), "{text}");
}

#[test]
fn what_can_not_be_shared_is_refused() {
    let refused = |training: Training, workers: usize, way: Sharing| {
        complaint(SharedTraining::new(training, workers).sharing(way).run())
    };
    let cases = [
        (refused(digits(), 0, Sharing::every_step()), "a run by 0 workers"),
        (refused(digits(), 5, Sharing::every_step()), "48 rows in a step can't be shared evenly by 5 workers"),
        (refused(digits(), 5, Sharing::every_step()), "use 45 or 50"),
        (refused(digits(), 5, Sharing::Tensor), "32 hidden units can't be shared evenly by 5"),
        (refused(text(64), 4, Sharing::Tensor), "2 heads can't be shared evenly by 4"),
        (refused(digits(), 4, Sharing::Pipeline { micro_batches: 2 }), "a model of 3 parts can't be a pipeline of 4"),
        (refused(digits(), 2, Sharing::Pipeline { micro_batches: 5 }), "use a divisor of 48, such as 8"),
        (refused(digits(), 2, Sharing::Pipeline { micro_batches: 0 }), "into 0 micro-batches"),
        (refused(digits(), 2, Sharing::LocalSteps { steps: 0 }), "0 local steps"),
        (refused(digits().micro_batches(2), 2, Sharing::every_step()), "2 micro-batches of a lone worker"),
        (refused(digits().stop_at_loss(1.0), 2, Sharing::every_step()), "can't stop at a loss"),
        (
            refused(digits().optimiser(Optimiser::sgd(0.1).momentum(0.9)), 2, Sharing::Hogwild),
            "only plain descent works",
        ),
        (
            refused(digits().optimiser(Optimiser::sgd(0.1).clip_norm(1.0)), 2, Sharing::Tensor),
            "can't be clipped by their norm",
        ),
        (refused(digits(), 2, Sharing::compressed(Compression::TopK { share: 0.0 })), "a share of 0 of the gradients"),
        (refused(digits(), 2, Sharing::compressed(Compression::TopK { share: f64::NAN })), "a share of NaN"),
        (refused(digits(), 2, Sharing::compressed(Compression::PowerSgd { rank: 0 })), "rank 0"),
        (refused(digits(), 2, Sharing::overlapped(3)), "a bucket of 3 bytes"),
        (
            refused(
                digits(),
                2,
                Sharing::EveryStep {
                    synchronisation: Synchronisation::Overlapped { bytes: 1000 },
                    compression: Some(Compression::Int8),
                },
            ),
            "can't be compressed by int8",
        ),
        (
            refused(
                Training::new(Convnet::new(4)).data(Source::teacher(1_000)).rows_per_step(8).steps(1),
                2,
                Sharing::Tensor,
            ),
            "a Convnet can't be cut into parts",
        ),
        (
            complaint(SharedTraining::new(digits(), 2).sharing(Sharing::Hogwild).over(&Link::lan()).run()),
            "share one memory",
        ),
        (complaint(SharedTraining::new(digits(), 2).over(&Link::data_center()).run()), "can't be emulated"),
        (
            complaint(
                SharedTraining::new(digits(), 2)
                    .sharing(Sharing::LocalSteps { steps: 4 })
                    .saving(Checkpoints::at("unused"))
                    .run(),
            ),
            "keeps no checkpoints",
        ),
    ];
    for (text, expected) in cases {
        assert!(text.contains(expected), "{text}, expected {expected}");
    }
}

#[test]
fn a_shared_run_is_a_value() {
    let training = SharedTraining::new(digits().steps(3), 2)
        .sharing(Sharing::overlapped(4096))
        .over(&Link::lan())
        .saving(Checkpoints::at("here"));
    let experiment = Experiment::TrainShared(training);
    let text = experiment.to_json().unwrap();
    assert_eq!(Experiment::from_json(&text).unwrap(), experiment);
    let run = run(&digits().steps(3), 2, Sharing::ParameterServer);
    let text = run.table().to_string();
    assert!(text.contains("2 workers: parameter server") && text.contains("updates that a gradient missed"), "{text}");
    run.figure().unwrap();
}
