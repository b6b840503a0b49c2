//! Stamps: what a finished step of the set-up was made from. A step whose stamp names the same inputs is skipped; a
//! step without a stamp was never finished and is done again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a step is made from: the name of each input and a digest of its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// No inputs yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that is not a file, such as a compiler's version.
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), digest(value.as_bytes()));
        self
    }

    /// Adds a file of the workspace, named by its path relative to `root`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file(mut self, root: &Path, path: &str) -> Result<Self> {
        let full = root.join(path);
        let bytes = fs::read(&full).with_context(|| format!("{} cannot be read; was it deleted?", full.display()))?;
        self.0.insert(path.to_owned(), digest(&bytes));
        Ok(self)
    }

    /// Adds every file below a folder of the workspace.
    ///
    /// # Errors
    /// When the folder or one of its files cannot be read.
    pub fn folder(mut self, root: &Path, path: &str) -> Result<Self> {
        for file in files_below(&root.join(path))? {
            let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
            self = self.file(root, &name)?;
        }
        Ok(self)
    }

    /// Adds a built file by its size and time of change: reading hundreds of megabytes at each start would take
    /// longer than the step's own check. A missing file counts as an input of its own.
    pub fn artifact(mut self, path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let state = fs::metadata(path).and_then(|found| Ok(format!("{} {:?}", found.len(), found.modified()?)));
        self.0.insert(name, digest(state.unwrap_or_default().as_bytes()));
        self
    }

    /// Names of the inputs that differ between two sets, those that only one of them has included.
    pub fn differing(&self, other: &Inputs) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys());
        let mut names: Vec<String> = names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Finished, from the inputs that are there now.
    Current,
    /// Never finished.
    Missing,
    /// Finished, but these inputs have changed since.
    Stale(Vec<String>),
}

/// The folder with one stamp for each finished step.
#[derive(Debug)]
pub struct Stamps {
    folder: PathBuf,
}

impl Stamps {
    /// Stamps kept in `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Compares a step's stamp with the inputs that are there now. A damaged stamp counts as missing.
    pub fn standing(&self, step: &str, now: &Inputs) -> Standing {
        let stamp =
            fs::read_to_string(self.path(step)).ok().and_then(|text| serde_json::from_str::<Inputs>(&text).ok());
        match stamp {
            None => Standing::Missing,
            Some(then) if then == *now => Standing::Current,
            Some(then) => Standing::Stale(then.differing(now)),
        }
    }

    /// Takes a step's stamp away: done before the step begins, so that an interrupted step has none.
    ///
    /// # Errors
    /// When the stamp exists and cannot be deleted.
    pub fn remove(&self, step: &str) -> Result<()> {
        let path = self.path(step);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be deleted", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Marks a step as finished.
    ///
    /// # Errors
    /// When the stamp cannot be written.
    pub fn write(&self, step: &str, inputs: &Inputs) -> Result<()> {
        write_atomically(&self.path(step), &serde_json::to_vec_pretty(inputs)?)
    }

    fn path(&self, step: &str) -> PathBuf {
        self.folder.join(format!("{step}.json"))
    }
}

/// Writes a file under a temporary name and renames it: a reader sees the old content or the new, never a part.
///
/// # Errors
/// When the folder cannot be made or the file cannot be written.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let problem = || format!("{} cannot be written", path.display());
    fs::create_dir_all(folder).with_context(problem)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(problem)?;
    file.write_all(content).with_context(problem)?;
    file.as_file().sync_all().with_context(problem)?;
    set_readable(file.as_file()).with_context(problem)?;
    file.persist(path).with_context(problem)?;
    Ok(())
}

/// A temporary file is readable by its owner only; what replaces an ordinary file is readable by all.
fn set_readable(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read; was it deleted?", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("{} cannot be read", folder.display()))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(root: &Path) -> Inputs {
        Inputs::new().text("compiler", "1.95.0").folder(root, "src").expect("the folder is there")
    }

    #[test]
    fn a_changed_added_or_removed_file_makes_a_step_stale_and_is_named() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(root.path().join("src/deep")).expect("folders");
        fs::write(root.path().join("src/deep/a.rs"), "one").expect("a file");
        let stamps = Stamps::new(root.path().join("stamps"));

        assert_eq!(stamps.standing("build", &inputs(root.path())), Standing::Missing);
        stamps.write("build", &inputs(root.path())).expect("a stamp");
        assert_eq!(stamps.standing("build", &inputs(root.path())), Standing::Current);

        fs::write(root.path().join("src/deep/a.rs"), "two").expect("a file");
        fs::write(root.path().join("src/b.rs"), "new").expect("a file");
        let stale = Standing::Stale(vec!["src/b.rs".to_owned(), "src/deep/a.rs".to_owned()]);
        assert_eq!(stamps.standing("build", &inputs(root.path())), stale);
    }

    #[test]
    fn an_interrupted_step_has_no_stamp() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let stamps = Stamps::new(root.path().join("stamps"));
        let inputs = Inputs::new().text("compiler", "1.95.0");
        stamps.remove("build").expect("nothing to remove is fine");
        stamps.write("build", &inputs).expect("a stamp");
        stamps.remove("build").expect("the step begins");
        assert_eq!(stamps.standing("build", &inputs), Standing::Missing);
    }

    #[test]
    fn a_damaged_stamp_counts_as_missing() {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::write(root.path().join("build.json"), "{\"compiler\": \"1.9").expect("a file");
        let stamps = Stamps::new(root.path().to_path_buf());
        assert_eq!(stamps.standing("build", &Inputs::new()), Standing::Missing);
    }

    #[test]
    fn a_rebuilt_artifact_is_a_changed_input() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let library = root.path().join("library.so");
        let before = Inputs::new().artifact(&library);
        fs::write(&library, "code").expect("a file");
        assert_eq!(before.differing(&Inputs::new().artifact(&library)), ["library.so"]);
    }
}
