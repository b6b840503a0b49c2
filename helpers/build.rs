//! With the feature `cuda`: lets programs find CUDA's libraries where they were when this was built.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    let home = env::var_os("CUDA_HOME").filter(|_| env::var_os("CARGO_FEATURE_CUDA").is_some());
    let folders = home.iter().flat_map(|home| ["lib64", "lib"].map(|name| PathBuf::from(home).join(name)));
    for folder in folders.filter(|folder| folder.is_dir()) {
        // The older of the two kinds of path also serves the libraries that CUDA's libraries load.
        println!("cargo:rustc-link-arg=-Wl,--disable-new-dtags,-rpath,{}", folder.display());
    }
}
