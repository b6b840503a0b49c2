//! Real threads against what was asked of them, and against the replay.

use std::time::{Duration, Instant};

use onramp::prelude::*;
use onramp::training::Gradients;

use super::{alone, guess};

/// How many times as long a step takes when another worker computes at the same time and nobody talks. On a quiet machine
/// that is what sharing one memory costs; where another program has a core it is up to 2.
fn contention(model: Mlp, rows: usize) -> f64 {
    let data = Source::teacher(rows).load(0).unwrap().train;
    let seconds = |workers: usize| -> f64 {
        let times = Team::new(workers)
            .unwrap()
            .run(|mut worker| {
                let network = model.build(0, &Device::Cpu)?;
                let batch = data.batch_range(0, data.rows(), network.device())?;
                Gradients::of(&network, &batch)?;
                worker.barrier()?;
                let start = Instant::now();
                for _ in 0..20 {
                    Gradients::of(&network, &batch)?;
                }
                Ok(start.elapsed().as_secs_f64())
            })
            .unwrap();
        times.into_iter().fold(0.0, f64::max)
    };
    seconds(2) / seconds(1)
}

#[test]
fn the_replay_is_what_real_threads_take() {
    // Up to one worker for each core runs for real over the emulated link; the replay of the same steps must agree, but
    // for what the workers lose to each other and to other programs on this machine. The link is so slow that messages
    // take most of a step, which no other program can lengthen.
    let _alone = alone();
    let link = Link::custom("slow", 2e-3, 12.5e6).unwrap();
    assert!(Machine::detect().physical_cores >= 2, "this needs 2 cores");
    let model = Mlp::new(128);
    for way in [Synchronisation::default(), Synchronisation::Overlapped { bytes: 64 << 10 }] {
        let sweep = || {
            let experiment =
                DataParallel::new(model).workers([1, 2]).rows_per_worker([64, 512]).link(link.clone()).repeats(3);
            let before = contention(model, 512);
            let run = experiment.synchronisation(way).run(&guess()).unwrap();
            let ratios: Vec<f64> = run.replay_check().into_iter().map(|(_, _, ratio)| ratio.median).collect();
            assert_eq!(ratios.len(), 2);
            (ratios, before.max(contention(model, 512)).max(1.0))
        };
        let right = |(ratios, contention): &(Vec<f64>, f64)| {
            ratios.iter().all(|ratio| (0.85 / contention..1.15).contains(ratio))
        };
        let mut sweeps = Vec::new();
        while !sweeps.iter().any(right) {
            assert!(sweeps.len() < 6, "{way}: replayed over emulated, and contention: {sweeps:?}");
            sweeps.push(sweep());
        }
    }
}

#[test]
fn a_slow_link_costs_every_step_and_local_steps_seldom() {
    let _alone = alone();
    let link = Link::custom("slow", 20e-3, 12.5e6).unwrap();
    let training =
        Training::new(Mlp::new(32).inputs(64)).data(Source::digits()).rows_per_step(48).steps(8).evaluate_every(8);
    let seconds = |way| SharedTraining::new(training.clone(), 2).sharing(way).over(&link).run().unwrap().seconds;
    // A ring of two takes two messages of 20 ms in each step.
    let (every, seldom) = (seconds(Sharing::every_step()), seconds(Sharing::LocalSteps { steps: 8 }));
    assert!(every > 8.0 * 40e-3, "{every}");
    assert!(seldom < 0.5 * every, "{seldom} s, {every} s in every step");
}

#[test]
fn a_straggler_takes_as_many_times_as_long_as_asked() {
    let _alone = alone();
    let times = Team::new(2)
        .unwrap()
        .straggler(1, 3.0)
        .unwrap()
        .run(|mut worker| {
            let start = Instant::now();
            std::thread::sleep(Duration::from_millis(50));
            let work = start.elapsed();
            worker.barrier()?;
            Ok((start, work, Instant::now()))
        })
        .unwrap();
    // Both leave the barrier once the straggler has come; when worker 0 began does not matter.
    let (start, work, _) = times[1];
    for (_, _, end) in times {
        let time = end - start;
        assert!(time >= 3 * work && time < 3 * work + Duration::from_millis(250), "{time:?} for 3 times {work:?}");
    }
}
