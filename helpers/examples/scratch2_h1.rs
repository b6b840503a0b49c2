use onramp::prelude::*;
use onramp::training::{Gradients, Sgd};
use std::time::Instant;
fn faults() -> i64 {
    unsafe {
        let mut u: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut u);
        u.ru_minflt
    }
}
fn main() -> Result<(), Error> {
    let rows: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let data = Teacher::new(2 * rows).generate()?;
    for p in [1usize, 2, 1, 2] {
        let f0 = faults();
        let out = Team::new(p)?.run(|mut w| {
            let net = Mlp::new(256).build(0, &Device::Cpu)?;
            let batch = data.batch_range(w.rank() * rows, (w.rank() + 1) * rows, net.device())?;
            let sgd = Sgd::new(1e-3)?;
            w.barrier()?;
            let mut ts = vec![];
            for _ in 0..8 {
                let f = faults();
                let t = Instant::now();
                let (_, g) = Gradients::of(&net, &batch)?;
                let t1 = t.elapsed().as_secs_f64() * 1e3;
                sgd.step(&net, &g)?;
                drop(g);
                ts.push(format!("{:.1}+{:.1} f{}", t1, t.elapsed().as_secs_f64() * 1e3 - t1, faults() - f));
            }
            Ok(ts)
        })?;
        for (r, ts) in out.iter().enumerate() {
            println!("p {p} rank {r}: {}", ts.join(" | "));
        }
        println!("faults {}", faults() - f0);
    }
    Ok(())
}
