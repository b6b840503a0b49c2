//! Chains of real hops against the law and the replay, and what happens when a hop is not there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use onramp::prelude::*;

use super::complaint;
use super::support::{ask, get};

/// The real chain has the very stalls of the replayed one, and a stall never ends early; what the machine adds is left
/// to the interval.
fn follows_the_law(chain: &Chain) {
    let (run, replayed) = (chain.run().unwrap(), chain.replay().unwrap());
    for (point, clock) in run.points.iter().zip(&replayed.points) {
        assert_eq!(point.failures, [""; 0]);
        assert_eq!(point.latencies_seconds.len(), clock.latencies_seconds.len());
        assert!(point.slow >= clock.slow, "{} {}", run.table(), replayed.table());
        assert!(run.agrees(point).unwrap(), "{} {}", run.table(), replayed.table());
    }
    let both = run.beside(replayed).unwrap();
    let table = both.table().to_string();
    assert!(table.contains("emulated") && table.contains("replayed"), "{table}");
    assert!(both.figure().is_ok());
}

#[test]
fn the_slow_share_of_real_hops_is_that_of_the_law() {
    follows_the_law(&Chain::new([1, 4]).calls(400).stalls(0.01, 0.1).at_once(4));
}

#[test]
fn hedges_lower_the_slow_share_to_that_of_two_stalls_at_once() {
    let stalls = Chain::new([4]).calls(400).stalls(0.1, 0.15).at_once(8).in_this_process();
    let hedged = stalls.clone().hedge(Hedge::after(0.02).budget(1.0));
    follows_the_law(&hedged);
    // 34 % without, 4 % with.
    let (without, with) = (stalls.replay().unwrap(), hedged.replay().unwrap());
    assert!(without.points[0].slow > 4 * with.points[0].slow, "{} {}", without.table(), with.table());
    // Also with a replica for the copies.
    let point = hedged.replicas(2).calls(100).run().unwrap().points.remove(0);
    assert!(point.hedged > 0 && point.failures.is_empty());
}

#[test]
fn at_a_hundred_hops_two_of_three_calls_are_slow() {
    for seed in 0..10 {
        let chain = Chain::new([1, 2, 5, 10, 20, 50, 100]).calls(4_000).seed(seed);
        for chain in [chain.clone(), chain.stalls(0.1, 0.05).hedge(Hedge::after(0.005).budget(1.0))] {
            let run = chain.replay().unwrap();
            let agreeing = run.points.iter().filter(|point| run.agrees(point).unwrap()).count();
            assert_eq!(agreeing, run.points.len(), "seed {seed}: {}", run.table());
            assert!((run.law(100) - 0.634).abs() < 1e-3, "both have 1 % of slow hops");
        }
    }
}

#[test]
fn a_budget_keeps_the_copies_few() {
    let chain = Chain::new([1]).calls(1_000).stalls(0.5, 0.05);
    let share =
        |budget| chain.clone().hedge(Hedge::after(0.01).budget(budget)).replay().unwrap().points[0].slow_share();
    // A half of the calls is late: with copies for all of them a quarter stays so; with 10 free copies nearly all.
    assert!((share(1.0) - 0.25).abs() < 0.05, "{}", share(1.0));
    assert!(share(0.0) > 0.43, "{}", share(0.0));
    assert!(share(0.25) > share(1.0) && share(0.25) < share(0.0));
    // The 95th percentile of calls of which half stall is the stall itself: such a hedge never comes.
    let blind = chain.hedge(Hedge::at_percentile(0.95)).replay().unwrap();
    assert!(blind.points[0].slow_share() > 0.43);
}

#[test]
fn a_killed_hop_is_missing_where_it_is_optional_and_named_where_it_is_not() {
    let calm = Chain::new([3]).stalls(0.0, 0.05);
    let mut running = calm.clone().optional(3).start().unwrap();
    assert_eq!(running.call().unwrap().visits.len(), 3);
    running.kill(3).unwrap();
    let answer = running.call().unwrap();
    assert_eq!(answer.missing, ["hop 3"]);
    let visited: Vec<&str> = answer.visits.iter().map(|visit| visit.hop.as_str()).collect();
    assert_eq!(visited, ["hop 1", "hop 2"]);
    let point = running.calls(50).unwrap();
    assert_eq!((point.missing, point.failures.len()), (50, 0));

    let mut running = calm.start().unwrap();
    running.kill(3).unwrap();
    let text = complaint(running.call());
    assert!(text.contains("502") && text.contains("hop 3 could not be reached"), "{text}");
    // After five failures in a row the breaker of the second hop leaves it alone.
    let complaints: Vec<String> = (0..8).map(|_| complaint(running.call())).collect();
    let last = &complaints[7];
    assert!(last.contains("502") && last.contains("hop 3 failed several times in a row"), "{last}");
    let text = complaint(running.kill(4));
    assert!(text.contains("there is no hop 4 in a chain of 3"), "{text}");
    assert!(complaint(running.addresses(0)).contains("there is no hop 0"));
}

#[test]
fn a_deadline_shrinks_on_the_way_and_the_hop_that_is_late_is_named() {
    let chain = Chain::new([4]).stalls(0.0, 1.0).deadline(5.0);
    let running = chain.clone().in_this_process().start().unwrap();
    let deadlines: Vec<u64> = running.call().unwrap().visits.iter().map(|visit| visit.deadline_ms).collect();
    assert_eq!(deadlines.len(), 4);
    assert!(deadlines[0] <= 5_000);
    assert!(deadlines.windows(2).all(|pair| pair[1] as f64 <= 0.9 * pair[0] as f64), "{deadlines:?}");
    // All stall for longer than there is; the last hop notices first, and the others pass on what it says.
    let running = chain.stalls(1.0, 10.0).deadline(0.5).in_this_process().start().unwrap();
    let text = complaint(running.call());
    assert!(text.contains("504") && text.contains("hop 4"), "{text}");
    let text = complaint({ running }.kill(1));
    assert!(text.contains("shares this process"), "{text}");
}

#[test]
fn an_optional_hop_that_is_too_late_is_left_out_in_time() {
    let price = Hop::new("price").stalls(1.0, 20.0).start().unwrap();
    let shop = Hop::new("shop").stalls(0.0, 0.0).next("price", [price.address()]).optional().start().unwrap();
    let answer = ask(shop.address(), "GET", "/call", &[("x-deadline-ms", "500")], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["missing"][0], "price");
    assert_eq!(answer.json()["visits"][0]["hop"], "shop");
    assert_eq!(get(shop.address(), "/ready").status, 200);
}

#[test]
fn the_copy_that_loses_is_broken_off() {
    // The first copy goes to someone who never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = silent.local_addr().unwrap().to_string();
    let (said, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = silent.accept().unwrap();
        // Until the other side closes.
        let asked = std::iter::from_fn(|| stream.read(&mut [0; 4096]).ok().filter(|bytes| *bytes > 0)).sum::<usize>();
        said.send(asked).unwrap();
    });
    let price = Hop::new("price").stalls(0.0, 0.0).start().unwrap();
    let shop = Hop::new("shop").stalls(0.0, 0.0).next("price", [nowhere.as_str(), price.address()]);
    let shop = shop.hedge(Hedge::after(0.02).budget(1.0)).deadline(20.0).start().unwrap();
    let answer = get(shop.address(), "/call").json();
    let visit = &answer["visits"][1];
    assert_eq!((&visit["hop"], &visit["copy"]), (&"price".into(), &2.into()), "{answer}");
    // Long before the deadline.
    assert!(ended.recv_timeout(Duration::from_secs(10)).unwrap() > 0);
}

#[test]
fn a_call_is_worked_for_once() {
    let hop = Hop::new("hop").stalls(0.0, 0.0).start().unwrap();
    let call = |number: &str, deadline_ms: &str| {
        ask(hop.address(), "GET", "/call", &[("x-call", number), ("x-deadline-ms", deadline_ms)], b"").json()
    };
    let first = call("1", "20000");
    assert_eq!(first["visits"][0]["deadline_ms"], 20_000);
    // The same call gets what was found before, deadline and all.
    assert_eq!(call("1", "7000"), first);
    assert_eq!(call("2", "7000")["visits"][0]["deadline_ms"], 7_000);
}

#[test]
fn what_a_hop_does_not_understand_is_told() {
    // A next hop that speaks something else.
    let garbage = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = garbage.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in garbage.incoming().take(2) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello");
        }
    });
    let hop = Hop::new("shop").next("price", [address]).start().unwrap();
    let answer = get(hop.address(), "/call");
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("price at 127.0.0.1"), "{}", answer.text());
    for wrong in [("x-deadline-ms", "soon"), ("x-deadline-ms", "-1"), ("x-copy", "3"), ("x-call", "1e9")] {
        let answer = ask(hop.address(), "GET", "/call", &[wrong], b"");
        assert_eq!(answer.status, 400, "{wrong:?}");
        assert!(answer.text().contains(wrong.0) && answer.text().contains(wrong.1), "{}", answer.text());
    }
    let answer = ask(hop.address(), "GET", "/call", &[("x-deadline-ms", "0")], b"");
    assert_eq!(answer.status, 504, "{}", answer.text());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let text = complaint(Chain::new([]).run());
    assert!(text.contains("chains of [] hops"), "{text}");
    let text = complaint(Chain::new([1, 9]).run());
    assert!(text.contains("use 1 to 8; .replay() goes further"), "{text}");
    assert!(complaint(Chain::new([0]).replay()).contains("use 1 to 10000"));
    assert!(complaint(Chain::new([1]).calls(0).run()).contains("0 calls"));
    assert!(complaint(Chain::new([1]).at_once(0).run()).contains("0 at once"));
    assert!(complaint(Chain::new([1]).replicas(3).run()).contains("3 replicas"));
    assert!(complaint(Chain::new([2]).optional(1).run()).contains("hop 1 of 2 can't be optional"));
    for wrong in
        [Chain::new([1]).stalls(1.5, 0.05), Chain::new([1]).stalls(f64::NAN, 0.05), Chain::new([1]).stalls(0.1, -1.0)]
    {
        let text = complaint(wrong.replay());
        assert!(text.contains("can't stall"), "{text}");
    }
    for wrong in [Hedge::after(-1.0), Hedge::after(0.01).budget(2.0), Hedge::at_percentile(1.0)] {
        let text = complaint(Chain::new([1]).hedge(wrong).replay());
        assert!(text.contains("makes no sense"), "{text}");
    }
    assert!(complaint(Hop::new("").start()).contains("needs a name"));
    assert!(complaint(Hop::new("a").work(-1.0).start()).contains("a can't work for -1 s"));
    assert!(complaint(Hop::new("a").next("b", ["there"]).start()).contains("'there' is no address of b"));
    assert!(complaint(Hop::new("a").next("b", [""; 0]).start()).contains("has 0 addresses"));
    assert!(complaint(Hop::new("a").listen("0.0.0.0:0").start()).contains("needs a token"));
    let calm = Chain::new([1]).calls(1).replay().unwrap();
    assert!(
        complaint(calm.clone().beside(Chain::new([1]).calls(1).stalls(0.5, 0.05).replay().unwrap()))
            .contains("one figure")
    );
    assert!(complaint(calm.point(2).cloned()).contains("2 hops were not part of this run"));
}
