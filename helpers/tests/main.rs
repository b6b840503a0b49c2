//! All integration tests, as one program: linking to the shared library takes longer than the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should say so and stop")]

mod again;
mod display;
mod doc_examples;
mod engine;
mod figure;
mod judgement;
mod law;
mod load;
mod measure;
mod serving;
