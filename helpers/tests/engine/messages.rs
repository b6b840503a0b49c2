//! Messages between two workers, and bytes of different lengths between all.

use std::time::{Duration, Instant};

use super::complaint;
use onramp::prelude::*;

#[test]
fn messages_arrive_in_the_order_in_which_they_were_sent() {
    let received = Team::new(3)
        .unwrap()
        .run(|mut worker| {
            if worker.rank() == 2 {
                // What worker 1 sent is asked for first, whichever came first.
                let mut values = [[0.0; 2]; 4];
                for (index, from) in [1, 0, 0, 1].into_iter().enumerate() {
                    worker.receive(from, &mut values[index])?;
                }
                return Ok(values.map(|pair| pair[0]).to_vec());
            }
            let rank = worker.rank() as f32;
            worker.send(2, &[rank, 0.0])?;
            worker.send(2, &[10.0 + rank, 0.0])?;
            Ok(Vec::new())
        })
        .unwrap();
    assert_eq!(received[2], [1.0, 0.0, 10.0, 11.0]);
}

#[test]
fn whoever_sends_first_is_received_first() {
    let order = Team::new(3)
        .unwrap()
        .run(|mut worker| {
            let mut value = [0.0];
            match worker.rank() {
                0 => {
                    let first = worker.receive_from_any(&mut value)?;
                    worker.send(2, &[0.0])?;
                    let second = worker.receive_from_any(&mut value)?;
                    Ok(vec![first, second])
                }
                1 => worker.send(0, &[1.0]).map(|()| Vec::new()),
                _ => {
                    worker.receive(0, &mut value)?;
                    worker.send(0, &[2.0]).map(|()| Vec::new())
                }
            }
        })
        .unwrap();
    assert_eq!(order[0], [1, 2]);
}

#[test]
fn bytes_of_any_lengths_reach_everyone() {
    for world_size in 1..=4 {
        let all = Team::new(world_size)
            .unwrap()
            .run(|mut worker| {
                let rank = worker.rank() as u8;
                let gathered = worker.all_gather_bytes(&vec![rank; worker.rank()])?;
                let each = (0..worker.world_size()).map(|to| vec![rank, to as u8]).collect();
                Ok((gathered, worker.all_to_all_bytes(each)?, worker.bytes_sent()))
            })
            .unwrap();
        for (rank, (gathered, exchanged, sent)) in all.into_iter().enumerate() {
            for from in 0..world_size {
                assert_eq!(gathered[from], vec![from as u8; from]);
                assert_eq!(exchanged[from], [from as u8, rank as u8]);
            }
            assert_eq!(sent as usize, (world_size - 1) * (rank + 2));
        }
    }
}

#[test]
fn wrong_messages_are_told_and_not_waited_for() {
    let run = |work: fn(&mut dyn Communicator) -> Result<(), Error>| {
        let start = Instant::now();
        let text = complaint(Team::new(2).unwrap().run(|mut worker| work(&mut worker)));
        assert!(start.elapsed() < Duration::from_secs(2), "{text}");
        text
    };
    let text = run(|worker| worker.send(worker.rank(), &[1.0]));
    assert!(text.contains("can't send to worker") && text.contains("from 0 to 1"), "{text}");
    let text = run(|worker| worker.receive(7, &mut [1.0]));
    assert!(text.contains("can't receive from worker 7"), "{text}");
    let text = run(|worker| worker.all_to_all_bytes(vec![vec![1]]).map(drop));
    assert!(text.contains("1 messages were given for 2 workers"), "{text}");
    let text = run(|worker| match worker.rank() {
        0 => worker.send(1, &[1.0, 2.0]),
        _ => worker.receive(0, &mut [0.0]),
    });
    assert!(text.contains("worker 1 has room for 1 numbers, but worker 0 sent 2"), "{text}");
    let text = run(|worker| match worker.rank() {
        0 => worker.send(1, &[1.0, 2.0]).and_then(|()| worker.barrier()),
        _ => worker.barrier(),
    });
    assert!(text.contains("worker 1 called barrier") && text.contains("send of 2 numbers to worker 1"), "{text}");
    let text = run(|worker| {
        if worker.rank() == 0 {
            return worker.send(1, &[1.0, 2.0]);
        }
        // Later than the message, whose sender would otherwise be the one to complain.
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    assert!(text.contains("worker 1 never received what worker 0 sent"), "{text}");
    // Both wait for the other's message.
    let text = run(|worker| worker.receive(1 - worker.rank(), &mut [0.0]));
    assert!(text.contains("wait for each other for ever") && text.contains("receive of 1 numbers"), "{text}");
    // One waits for a message and the other for a call of all.
    let text = run(|worker| match worker.rank() {
        0 => worker.all_reduce_sum(&mut [0.0]),
        _ => worker.receive(0, &mut [0.0]),
    });
    assert!(text.contains("receive of 1 numbers from worker 0") && text.contains("all_reduce_sum"), "{text}");
    let text = run(|worker| match worker.rank() {
        0 => worker.receive_from_any(&mut [0.0]).map(drop),
        _ => Ok(()),
    });
    assert!(text.contains("worker 1 stopped while worker 0 in receive_from_any"), "{text}");
}
