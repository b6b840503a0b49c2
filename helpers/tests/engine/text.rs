//! The texts made by a grammar, and a transformer that learns them.

use onramp::data::{Dataset, Text};
use onramp::prelude::*;
use onramp::training::Optimiser;

use super::complaint;

/// The words of one row and the one that follows.
fn words(set: &Dataset, row: usize) -> Vec<String> {
    let context = set.columns();
    let mut tokens: Vec<u32> = set.row(row).iter().map(|token| *token as u32).collect();
    tokens.push(set.labels()[(row + 1) * context - 1]);
    Text::words(&tokens).split(' ').map(str::to_owned).collect()
}

const PLURAL_NOUNS: [&str; 8] = ["dogs", "cats", "birds", "horses", "farmers", "children", "painters", "bakers"];

/// Whether a verb without -s stands with a plural, and one with it with a singular.
fn agree(noun: &str, verb: &str) -> bool {
    PLURAL_NOUNS.contains(&noun) != verb.ends_with('s')
}

/// Reads one sentence without its full stop, by other means than those that made it.
fn is_a_sentence(words: &[&str]) -> bool {
    match words {
        ["the", noun, verb] => agree(noun, verb),
        ["the", noun, verb, "the", _] => agree(noun, verb),
        ["the", noun, "that", "the", other, inner, rest @ ..] => {
            agree(other, inner) && is_a_sentence(&[&["the", noun], rest].concat()) && !rest.contains(&"that")
        }
        _ => false,
    }
}

#[test]
fn all_sentences_follow_the_grammar() {
    let set = Text::new(300).context(60).generate().unwrap();
    let (mut sentences, mut clauses) = (0, 0);
    for row in 0..set.rows() {
        let words = words(&set, row);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut whole: Vec<&[&str]> = words.split(|word| *word == ".").collect();
        // The last one is cut off.
        whole.pop();
        for sentence in whole {
            assert!(is_a_sentence(sentence), "{sentence:?}");
            sentences += 1;
            clauses += usize::from(sentence.contains(&"that"));
        }
    }
    let share = clauses as f64 / sentences as f64;
    assert!((0.4..0.6).contains(&share), "{share} of {sentences} sentences have a clause");
}

#[test]
fn labels_are_the_words_that_follow() {
    let set = Text::new(5).context(12).generate().unwrap();
    assert_eq!((set.rows(), set.columns(), set.classes(), set.labels_per_row()), (5, 12, Text::VOCABULARY, 12));
    for row in 0..5 {
        let features: Vec<u32> = set.row(row).iter().map(|token| *token as u32).collect();
        assert_eq!(features[1..], set.labels()[row * 12..row * 12 + 11]);
    }
}

#[test]
fn the_same_seed_gives_the_same_texts_and_a_larger_set_begins_with_a_smaller_one() {
    let generate = |sequences: usize, seed: u64| Text::new(sequences).seed(seed).generate().unwrap();
    assert_eq!(generate(20, 3), generate(20, 3));
    assert_ne!(generate(20, 3), generate(20, 4));
    assert_eq!(generate(50, 3).select(&(0..20).collect::<Vec<_>>()), generate(20, 3));
}

#[test]
fn selections_take_each_row_with_all_its_labels() {
    let set = Text::new(30).context(7).generate().unwrap();
    let chosen = set.select(&[4, 29]);
    assert_eq!(chosen.labels(), [&set.labels()[28..35], &set.labels()[203..210]].concat());
    let batch = set.batch(&[4, 29], &candle_core::Device::Cpu).unwrap();
    assert_eq!((batch.rows(), batch.features.dims(), batch.labels.dims()), (2, &[2, 7][..], &[14][..]));
    assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), chosen.labels());
    let shards: Vec<u32> = (0..3).flat_map(|rank| set.shard(rank, 3).unwrap().labels().to_vec()).collect();
    assert_eq!(shards, set.labels());
}

/// By hand, with 16 nouns and 6 verbs: (ln 16 + ln 2 + (ln 16 + ln 6) / 2 + ln 2 + ln 6 + ln 16 / 2) / 7.
#[test]
fn a_transformer_does_better_than_pairs_and_no_better_than_the_grammar() {
    let text = Text::new(2_000);
    let (best, pairs) = (text.entropy(), text.bigram_loss().unwrap());
    assert!((best - 1.374_158_7).abs() < 1e-6, "{best}");
    assert!(pairs > best + 0.2, "{pairs}");
    let run = Training::new(Transformer::new(64))
        .data(Source::text(2_000))
        .optimiser(Optimiser::adamw(3e-3).clip_norm(1.0).warm_up(20).cosine(300))
        .rows_per_step(16)
        .steps(300)
        .evaluate_every(100)
        .run()
        .unwrap();
    // Rows begin with a sentence, so theirs is not exactly the entropy of a long text.
    assert!(run.loss() > best - 0.05, "{} is too good to be true: the grammar has {best}", run.loss());
    assert!(run.loss() < pairs - 0.1, "{}; pairs of words have {pairs}", run.loss());
}

#[test]
fn texts_and_models_that_don_t_fit_are_refused() {
    assert!(complaint(Text::new(0).generate()).contains("0 sequences"));
    assert!(complaint(Text::new(3).context(0).generate()).contains("a context of 0"));
    let text = complaint(Dataset::of_sequences("mine", 3, 5, &[vec![0, 1, 2, 3], vec![0, 1, 2]]));
    assert!(text.contains("sequence 1 of the data set 'mine' has 3 tokens"), "{text}");
    let text = complaint(Dataset::of_sequences("mine", 3, 5, &[vec![0, 1, 5, 3]]));
    assert!(text.contains("the token 5"), "{text}");
    let text = complaint(Training::new(Mlp::new(8)).data(Source::text(100)).run());
    assert!(text.contains("a Transformer goes with texts"), "{text}");
    let text = complaint(Training::new(Transformer::new(32).context(8)).data(Source::text(100)).run());
    assert!(text.contains(".context(32).vocabulary(43)"), "{text}");
    let text = complaint(Training::new(Convnet::new(4)).data(Source::digits()).run());
    assert!(text.contains(".side(8).outputs(10)"), "{text}");
}

#[test]
fn a_convnet_learns_the_digits() {
    let run =
        Training::new(Convnet::new(16).side(8)).data(Source::digits()).rows_per_step(32).steps(600).run().unwrap();
    assert!(run.accuracy() > 0.9, "{}", run.accuracy());
}
