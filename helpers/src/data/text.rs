//! Texts made by a small grammar, to learn the next word from.
//!
//! ```text
//! sentence   ->  the N [that the M see]  (sleep | see the N) .
//! ```
//!
//! N and M are nouns in the singular or plural. Each verb has the number of its own noun: *the dog that the cats see
//! sleeps*. So the main verb depends on a word several places back, with another noun in between. Who counts pairs of
//! words can't know it; who looks back can. Nouns, verbs and the two kinds of main verb are drawn with equal
//! probability, the clause with [`CLAUSE`].
//!
//! The best possible loss is the entropy of what is drawn, over the words of a sentence (both on average):
//!
//! ```text
//! (ln nouns + H(CLAUSE) + CLAUSE (ln nouns + ln verbs) + ln 2 + ln verbs + ln nouns / 2) / (5 + 4 CLAUSE)
//! ```

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::error::{Error, Result};

/// The probability that a sentence has a clause.
pub const CLAUSE: f64 = 0.5;

const NOUNS: [&str; 8] = ["dog", "cat", "bird", "horse", "farmer", "child", "painter", "baker"];
const PLURAL_NOUNS: [&str; 8] = ["dogs", "cats", "birds", "horses", "farmers", "children", "painters", "bakers"];
const TRANSITIVE: [&str; 6] = ["sees", "hears", "likes", "follows", "finds", "knows"];
const PLURAL_TRANSITIVE: [&str; 6] = ["see", "hear", "like", "follow", "find", "know"];
const INTRANSITIVE: [&str; 6] = ["sleeps", "runs", "waits", "sings", "laughs", "stands"];
const PLURAL_INTRANSITIVE: [&str; 6] = ["sleep", "run", "wait", "sing", "laugh", "stand"];

const THE: u32 = 0;
const THAT: u32 = 1;
const END: u32 = 2;
/// Where each kind of word begins among the tokens; each is followed by its plural.
const FIRST_NOUN: usize = 3;
const FIRST_TRANSITIVE: usize = FIRST_NOUN + 2 * NOUNS.len();
const FIRST_INTRANSITIVE: usize = FIRST_TRANSITIVE + 2 * TRANSITIVE.len();

/// Sequences over which pairs of words are counted.
const COUNTED: usize = 20_000;

/// A description of a set of texts: how many sequences of how many words, drawn from which seed.
///
/// The same seed always gives the same sequences, and a larger set begins with those of a smaller one. Each begins
/// with a sentence, and ends wherever it is long enough.
///
/// ```
/// use onramp::data::Text;
///
/// let text = Text::new(1).context(10);
/// let words = Text::words(text.generate()?.labels());
/// assert!(words.ends_with('.') || words.split(' ').count() == 10);
/// // Looking back is worth a lot here.
/// assert!(text.entropy() < 0.85 * text.bigram_loss()?);
/// # Ok::<(), onramp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    sequences: usize,
    context: usize,
    seed: u64,
}

impl Text {
    /// Different words, with the full stop.
    pub const VOCABULARY: usize = FIRST_INTRANSITIVE + 2 * INTRANSITIVE.len();
    /// Words of a sequence from which the next are predicted, unless another number is asked for.
    pub const CONTEXT: usize = 32;

    /// So many sequences of 32 words and the one that follows, drawn from seed 0.
    pub fn new(sequences: usize) -> Self {
        Self { sequences, context: Self::CONTEXT, seed: 0 }
    }

    /// The same with sequences of this many words and the one that follows.
    pub fn context(mut self, words: usize) -> Self {
        self.context = words;
        self
    }

    /// The same with sequences drawn from another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Number of sequences.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Words of a sequence without the last, which is only predicted.
    pub fn columns(&self) -> usize {
        self.context
    }

    /// Draws the sequences.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for no sequences or no words.
    pub fn generate(&self) -> Result<Dataset> {
        let sequences: Vec<Vec<u32>> = (0..self.sequences).map(|row| self.sequence(row)).collect();
        Dataset::of_sequences("sentences", self.context, Self::VOCABULARY, &sequences)
    }

    /// The words of these tokens.
    pub fn words(tokens: &[u32]) -> String {
        tokens.iter().map(|token| word(*token)).collect::<Vec<_>>().join(" ")
    }

    /// The loss, in nats per word, of a model that knows the grammar: no model can do better over a long text. (The
    /// formula opens this module.)
    pub fn entropy(&self) -> f64 {
        let (nouns, verbs) = ((2.0 * NOUNS.len() as f64).ln(), (TRANSITIVE.len() as f64).ln());
        let clause = -CLAUSE * CLAUSE.ln() - (1.0 - CLAUSE) * (1.0 - CLAUSE).ln();
        let sentence = nouns + clause + CLAUSE * (nouns + verbs) + std::f64::consts::LN_2 + verbs + nouns / 2.0;
        sentence / (5.0 + 4.0 * CLAUSE)
    }

    /// The loss, in nats per word, of the best model that sees only the last word: the entropy of a word given the
    /// one before it, counted over 20,000 sequences of this description.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for sequences without words.
    pub fn bigram_loss(&self) -> Result<f64> {
        if self.context == 0 {
            return Err(Error::invalid("sequences of 0 words have no pairs; use a context of at least 1, such as 32"));
        }
        let mut pairs = vec![0.0_f64; Self::VOCABULARY * Self::VOCABULARY];
        for row in 0..COUNTED {
            for pair in self.sequence(row).windows(2) {
                pairs[pair[0] as usize * Self::VOCABULARY + pair[1] as usize] += 1.0;
            }
        }
        let all: f64 = pairs.iter().sum();
        let loss = pairs.chunks_exact(Self::VOCABULARY).map(|followers| {
            let seen: f64 = followers.iter().sum();
            followers.iter().filter(|count| **count > 0.0).map(|count| -count * (count / seen).ln()).sum::<f64>()
        });
        Ok(loss.sum::<f64>() / all)
    }

    /// One row's words and the one that follows.
    fn sequence(&self, row: usize) -> Vec<u32> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(row as u64);
        let mut tokens = Vec::with_capacity(self.context + 16);
        while tokens.len() <= self.context {
            sentence(&mut random, &mut tokens);
        }
        tokens.truncate(self.context + 1);
        tokens
    }
}

fn sentence(random: &mut ChaCha8Rng, tokens: &mut Vec<u32>) {
    let plural = noun(random, tokens);
    if random.random_bool(CLAUSE) {
        tokens.push(THAT);
        let plural = noun(random, tokens);
        tokens.push(verb(random, FIRST_TRANSITIVE, plural));
    }
    if random.random_bool(0.5) {
        tokens.push(verb(random, FIRST_TRANSITIVE, plural));
        noun(random, tokens);
    } else {
        tokens.push(verb(random, FIRST_INTRANSITIVE, plural));
    }
    tokens.push(END);
}

/// Adds the article and a noun; true for a plural.
fn noun(random: &mut ChaCha8Rng, tokens: &mut Vec<u32>) -> bool {
    let chosen = random.random_range(0..2 * NOUNS.len());
    tokens.extend([THE, (FIRST_NOUN + chosen) as u32]);
    chosen >= NOUNS.len()
}

fn verb(random: &mut ChaCha8Rng, first: usize, plural: bool) -> u32 {
    (first + usize::from(plural) * TRANSITIVE.len() + random.random_range(0..TRANSITIVE.len())) as u32
}

fn word(token: u32) -> &'static str {
    let kinds: [&[&str]; 7] = [
        &["the", "that", "."],
        &NOUNS,
        &PLURAL_NOUNS,
        &TRANSITIVE,
        &PLURAL_TRANSITIVE,
        &INTRANSITIVE,
        &PLURAL_INTRANSITIVE,
    ];
    kinds.iter().flat_map(|kind| kind.iter()).nth(token as usize).copied().unwrap_or("?")
}
