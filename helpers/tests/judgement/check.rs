use onramp::judgement::check::all_reduce_mean;

fn average(gradients: &mut [Vec<f32>]) {
    let workers = gradients.len() as f32;
    for place in 0..gradients[0].len() {
        let total: f32 = gradients.iter().map(|gradient| gradient[place]).sum();
        gradients.iter_mut().for_each(|gradient| gradient[place] = total / workers);
    }
}

/// The same by a ring: partial sums travel around, then the finished chunks do.
fn average_around_a_ring(gradients: &mut [Vec<f32>]) {
    let (workers, length) = (gradients.len(), gradients[0].len());
    let chunk = |part: usize| part * length / workers..(part + 1) * length / workers;
    for step in 0..workers - 1 {
        for rank in 0..workers {
            let part = (rank + workers - step) % workers;
            let sent = gradients[rank][chunk(part)].to_vec();
            let next = &mut gradients[(rank + 1) % workers][chunk(part)];
            next.iter_mut().zip(sent).for_each(|(own, other)| *own += other);
        }
    }
    for part in 0..workers {
        let owner = (part + workers - 1) % workers;
        let done: Vec<f32> = gradients[owner][chunk(part)].iter().map(|sum| sum / workers as f32).collect();
        gradients.iter_mut().for_each(|gradient| gradient[chunk(part)].copy_from_slice(&done));
    }
}

#[test]
fn two_different_right_solutions_pass() {
    for solution in [average, average_around_a_ring] {
        let passed = all_reduce_mean(solution).unwrap();
        assert_eq!(passed.tried.len(), 6);
        assert!(passed.to_string().starts_with("Passed"));
    }
}

fn nothing(_: &mut [Vec<f32>]) {}

fn sum(gradients: &mut [Vec<f32>]) {
    let workers = gradients.len() as f32;
    average(gradients);
    gradients.iter_mut().flatten().for_each(|value| *value *= workers);
}

fn divided_twice(gradients: &mut [Vec<f32>]) {
    let workers = gradients.len() as f32;
    average(gradients);
    gradients.iter_mut().flatten().for_each(|value| *value /= workers);
}

fn only_the_first(gradients: &mut [Vec<f32>]) {
    let mut all = gradients.to_vec();
    average(&mut all);
    gradients[0] = all.remove(0);
}

fn all_but_the_last(gradients: &mut [Vec<f32>]) {
    let own = gradients.last().cloned();
    average(gradients);
    if let (Some(last), Some(own)) = (gradients.last_mut(), own) {
        *last = own;
    }
}

fn all_but_one_of_four(gradients: &mut [Vec<f32>]) {
    let own = gradients.get(2).cloned();
    average(gradients);
    if let Some(own) = own {
        gradients[2] = own;
    }
}

fn without_the_remainder(gradients: &mut [Vec<f32>]) {
    let workers = gradients.len();
    for place in 0..gradients[0].len() / workers * workers {
        let total: f32 = gradients.iter().map(|gradient| gradient[place]).sum();
        gradients.iter_mut().for_each(|gradient| gradient[place] = total / workers as f32);
    }
}

fn everybody_gets_the_first(gradients: &mut [Vec<f32>]) {
    let first = gradients[0].clone();
    gradients.iter_mut().for_each(|gradient| gradient.clone_from(&first));
}

fn overwritten_while_reading(gradients: &mut [Vec<f32>]) {
    let workers = gradients.len() as f32;
    for rank in 0..gradients.len() {
        for place in 0..gradients[0].len() {
            let total: f32 = gradients.iter().map(|gradient| gradient[place]).sum();
            gradients[rank][place] = total / workers;
        }
    }
}

fn over_the_numbers_not_the_workers(gradients: &mut [Vec<f32>]) {
    for gradient in gradients {
        let mean = gradient.iter().sum::<f32>() / gradient.len() as f32;
        gradient.fill(mean);
    }
}

fn shortened(gradients: &mut [Vec<f32>]) {
    average(gradients);
    gradients.iter_mut().for_each(|gradient| gradient.truncate(2));
}

fn beyond_the_end(gradients: &mut [Vec<f32>]) {
    let end = gradients.len();
    gradients[end][0] = 0.0;
}

fn needs_two_workers(gradients: &mut [Vec<f32>]) {
    assert!(gradients.len() > 1, "a ring needs two");
    average(gradients);
}

fn not_a_number(gradients: &mut [Vec<f32>]) {
    gradients.iter_mut().flatten().for_each(|value| *value = f32::NAN);
}

#[test]
fn every_wrong_solution_gets_its_own_hint() {
    let wrong: [(fn(&mut [Vec<f32>]), &str); 14] = [
        (nothing, "nothing changed"),
        (sum, "the sum, not the mean"),
        (divided_twice, "Divide only once"),
        (only_the_first, "only worker 0 holds the mean"),
        (all_but_the_last, "only worker 0 holds the mean"),
        (everybody_gets_the_first, "all workers agree, but on 1 at place 0 where the mean is 2.5"),
        (overwritten_while_reading, "gradients that had already been overwritten"),
        (all_but_one_of_four, "3 of 4 workers hold the mean (worker 0, 1, 3)"),
        (over_the_numbers_not_the_workers, "the workers end with different numbers"),
        (shortened, "worker 0 ends with 2 numbers instead of 4"),
        (beyond_the_end, "your function panicked: index out of bounds: the len is 2 but the index is 2"),
        (not_a_number, "NaN at place 0"),
        (needs_two_workers, "p = 1 workers"),
        (without_the_remainder, "right only up to place 8 of 10"),
    ];
    for (solution, hint) in wrong {
        let text = all_reduce_mean(solution).unwrap_err().to_string();
        assert!(text.contains(hint), "expected a hint with \"{hint}\", got: {text}");
        assert!(text.starts_with("not yet: with p = "), "{text}");
    }
}
