use onramp::prelude::*;
use std::time::Instant;
fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    let guess = predict("x", times(4.0))?;
    let t = Instant::now();
    match args[1].as_str() {
        "dp" => {
            let link = match args.get(2).map(String::as_str) {
                Some("wan") => Link::wan(),
                Some("dc") => Link::data_center(),
                _ => Link::lan(),
            };
            let run = DataParallel::new(Mlp::new(256)).link(link).run(&guess)?;
            println!("elapsed {:?}", t.elapsed());
            println!("{}", run.table());
            println!("b* predicted {}", run.half_efficiency_rows_predicted()?);
            println!("{}", run.fit(HalfEfficiency)?);
            println!("{}", run.verdict("Eight workers are eight times as fast")?);
            for (p, b, e) in run.replay_check() {
                println!("{p} {b} {e}");
            }
            for b in &run.baselines {
                println!(
                    "{} {:.3} ms, best {:.3} ms with {}",
                    b.rows,
                    1e3 * b.one_thread.median,
                    1e3 * b.best_process.median,
                    b.best_threads
                );
            }
        }
        "ttl" => {
            let w: usize = args[2].parse().unwrap();
            let target: f64 = args[3].parse().unwrap();
            let lr: f64 = args[4].parse().unwrap();
            let rule = match args[5].as_str() {
                "c" => RateRule::Constant,
                "s" => RateRule::SquareRoot,
                _ => RateRule::Linear,
            };
            let b: usize = args[6].parse().unwrap();
            let e = if args.len() > 7 {
                TimeToLoss::new(Mlp::new(w).inputs(64)).data(Source::digits())
            } else {
                TimeToLoss::new(Mlp::new(w))
            };
            let run = e.target_loss(target).learning_rate(lr, rule).rows_per_worker(b).run(&guess)?;
            println!("elapsed {:?}", t.elapsed());
            println!("{}", run.table());
            for p in [2, 4, 8] {
                if let Ok(s) = run.statistical_efficiency(p) {
                    println!("{p}: stat eff {s}");
                }
            }
        }
        "wrong" => {
            let w: usize = args[2].parse().unwrap();
            let lr: f64 = args[3].parse().unwrap();
            let run =
                WrongParallelism::new(Mlp::new(w)).learning_rate(lr).run(&predict("w", choice("a", ["a", "b"]))?)?;
            println!("elapsed {:?}", t.elapsed());
            for a in &run.attempts {
                println!(
                    "{:?} err {:.4} losses {} last {:?} max {:.2} held {:?}",
                    a.mistake,
                    a.gradient_error,
                    a.losses.len(),
                    a.losses.last(),
                    a.losses.iter().copied().fold(0.0, f64::max),
                    a.held_out
                );
            }
        }
        "train" => {
            let w: usize = args[2].parse().unwrap();
            let run = Training::new(Mlp::new(w))
                .learning_rate(args[3].parse().unwrap())
                .rows_per_step(args[4].parse().unwrap())
                .evaluate_every(25)
                .steps(args[5].parse().unwrap())
                .run()?;
            println!("elapsed {:?} steps {}", t.elapsed(), run.seconds);
            for e in run.evaluations {
                println!("{} {:.3} {:.3}", e.step, e.held_out.loss, e.held_out.accuracy);
            }
        }
        "b64" => {
            let run = DataParallel::new(Mlp::new(256)).workers([1, 2]).rows_per_worker([64]).run(&guess)?;
            println!("{:?}\n{:?}", run.baselines[0].one_thread.samples, run.baselines[0].best_process.samples);
            for p in &run.points {
                println!("{} {:?} {:?}", p.workers, p.provenance, p.step_seconds.samples);
            }
        }
        _ => {}
    }
    Ok(())
}
