//! Leaves out of cargo's metadata what no cell can name.
//!
//! rust-analyzer loads the sources of every package that cargo names: 170 MB for the helper crate, 20 s. To infer the
//! type of a `let` it needs the crates whose types appear in public signatures.

use crate::environment::Surroundings;
use anyhow::Result;
use serde_json::Value;
use std::collections::HashSet;

/// Of the helper crate's own dependencies, those whose types appear in signatures that a cell calls.
const NAMED: [&str; 4] = ["candle-core", "candle-nn", "serde", "serde_core"];

/// Of the standard library's packages, those that a cell can name. The others are its tests and what it is built from.
const STANDARD: [&str; 3] = ["core", "alloc", "std"];

/// While a file of this name is in the kernel's folder, the standard library is left out as well: evcxr's context is made
/// with a cell `42`, for which rust-analyzer would load and analyse all of it, only to do so again when the first
/// dependency comes.
pub const WITHOUT_STANDARD: &str = "without-standard-library";

/// `metadata` with fewer packages; unchanged when there is nothing to leave out.
pub fn prune(metadata: &str, around: &Surroundings) -> Result<String> {
    let mut metadata: Value = serde_json::from_str(metadata)?;
    let helpers = around.state.helpers.join("Cargo.toml");
    let keep = match metadata["packages"].as_array() {
        Some(packages) if packages.iter().any(|p| p["name"] == "core") => {
            let without = around.folder.join(WITHOUT_STANDARD).exists();
            let named = |p: &&Value| !without && p["name"].as_str().is_some_and(|name| STANDARD.contains(&name));
            packages.iter().filter(named).filter_map(id).collect()
        }
        Some(packages) => match packages.iter().find(|p| p["manifest_path"] == *helpers.to_string_lossy()) {
            Some(helper) => reachable(&metadata, helper["id"].as_str().unwrap_or_default()),
            None => return Ok(metadata.to_string()),
        },
        None => return Ok(metadata.to_string()),
    };
    leave_out(&mut metadata, &keep);
    Ok(metadata.to_string())
}

/// The configuration, as rustc prints it, without the kind of processor: more than half of the standard library's
/// source is functions for single instructions of it, and none of their types is one that a cell keeps.
pub fn without_processor(cfg: &str) -> String {
    let processor = |line: &&str| line.starts_with("target_arch=") || line.starts_with("target_feature=");
    cfg.lines().filter(|line| !processor(line)).map(|line| format!("{line}\n")).collect()
}

fn id(package: &Value) -> Option<String> {
    package["id"].as_str().map(String::from)
}

/// Everything that the cell's crate reaches without going through the helper crate, and what that one names.
fn reachable(metadata: &Value, helper: &str) -> HashSet<String> {
    let name = |id: &str| {
        let packages = metadata["packages"].as_array();
        packages
            .into_iter()
            .flatten()
            .find(|p| p["id"] == id)
            .and_then(|p| p["name"].as_str())
            .unwrap_or_default()
            .to_owned()
    };
    let dependencies = |id: &str| -> Vec<String> {
        let nodes = metadata["resolve"]["nodes"].as_array();
        let node = nodes.into_iter().flatten().find(|n| n["id"] == id);
        let deps = node.and_then(|n| n["dependencies"].as_array());
        deps.into_iter().flatten().filter_map(|d| d.as_str().map(String::from)).collect()
    };
    let mut keep = HashSet::new();
    let members = metadata["workspace_members"].as_array();
    let mut next: Vec<String> = members.into_iter().flatten().filter_map(|m| m.as_str().map(String::from)).collect();
    while let Some(id) = next.pop() {
        if keep.insert(id.clone()) && id != helper {
            next.extend(dependencies(&id));
        }
    }
    for dependency in dependencies(helper) {
        if NAMED.contains(&name(&dependency).as_str()) {
            keep.insert(dependency);
        }
    }
    keep
}

fn leave_out(metadata: &mut Value, keep: &HashSet<String>) {
    let kept = |value: &Value| value.as_str().is_some_and(|id| keep.contains(id));
    if let Some(packages) = metadata["packages"].as_array_mut() {
        packages.retain(|p| kept(&p["id"]));
    }
    if let Some(nodes) = metadata["resolve"]["nodes"].as_array_mut() {
        nodes.retain(|n| kept(&n["id"]));
        for node in nodes {
            if let Some(deps) = node["dependencies"].as_array_mut() {
                deps.retain(&kept);
            }
            if let Some(deps) = node["deps"].as_array_mut() {
                deps.retain(|d| kept(&d["pkg"]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_folder::StateFolder;
    use serde_json::json;

    #[test]
    fn the_processor_is_left_out() {
        let cfg =
            "panic=\"unwind\"\ntarget_arch=\"x86_64\"\ntarget_feature=\"sse\"\ntarget_pointer_width=\"64\"\nunix\n";
        assert_eq!(without_processor(cfg), "panic=\"unwind\"\ntarget_pointer_width=\"64\"\nunix\n");
    }

    #[test]
    fn only_what_a_cell_can_name_is_left() {
        let package =
            |name: &str, path: &str| json!({"id": name, "name": name, "manifest_path": path, "source": "registry"});
        let node = |name: &str, on: &[&str]| json!({"id": name, "dependencies": on, "deps": on.iter().map(|d| json!({"pkg": d})).collect::<Vec<_>>()});
        let metadata = json!({
            "packages": [package("ctx", "/k/Cargo.toml"), package("onramp", "/h/Cargo.toml"), package("polars", ""),
                         package("candle-core", ""), package("gemm", ""), package("rand", ""), package("libc", "")],
            "workspace_members": ["ctx"],
            "resolve": {"nodes": [node("ctx", &["onramp", "rand"]), node("onramp", &["polars", "candle-core"]),
                                  node("candle-core", &["gemm"]), node("rand", &["libc"]), node("libc", &[])]},
        });
        let around = Surroundings {
            state: StateFolder { path: "/s".into(), helpers: "/h".into() },
            folder: "/k".into(),
            cargo: "cargo".into(),
            rustc: "rustc".into(),
        };
        let pruned: Value = serde_json::from_str(&prune(&metadata.to_string(), &around).unwrap()).unwrap();
        let names: Vec<_> =
            pruned["packages"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ctx", "onramp", "candle-core", "rand", "libc"]);
        let onramp = &pruned["resolve"]["nodes"][1];
        assert_eq!(onramp["dependencies"], json!(["candle-core"]));
        assert_eq!(onramp["deps"], json!([{"pkg": "candle-core"}]));
    }
}
