//! Tells the program for which target triple it was built: the artifacts of the kernel and the helpers lie in a
//! folder of that name.

use std::env::{self, VarError};

fn main() -> Result<(), VarError> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=ONRAMP_TRIPLE={}", env::var("TARGET")?);
    Ok(())
}
