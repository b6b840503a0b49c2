//! Where everything lies: the workspace's root and the paths below it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The lesson that `cargo lab` opens, relative to the notebooks' folder.
pub const FIRST_LESSON: &str = "04-parallelism.ipynb";

/// The kernelspec's name, as notebooks name it in their metadata.
pub const KERNEL_NAME: &str = "onramp";

/// The triple this program was built for, which is the one that the workspace builds for.
const TRIPLE: &str = env!("ONRAMP_TRIPLE");

/// A checked-out workspace.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace that holds the current folder.
    ///
    /// # Errors
    /// When neither the current folder nor any folder above it is Onramp's.
    pub fn discover() -> Result<Self> {
        let start = std::env::current_dir().context("the current folder cannot be read")?;
        for folder in start.ancestors() {
            if folder.join("kernel-ext/lab/requirements.txt").is_file() {
                return Ok(Self::at(folder));
            }
        }
        bail!(
            "{} is not inside Onramp's folder: change into the folder that you cloned, then run `cargo lab` again",
            start.display()
        )
    }

    /// The workspace whose root is `root`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The folder with the workspace's `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder of the checkout, by its path relative to the root.
    pub fn source(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The one target folder that the workspace and the cells share.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    /// Everything that this command makes: virtual environment, stamps, logs, executed notebooks.
    pub fn lab(&self) -> PathBuf {
        self.target().join("lab")
    }

    /// The virtual environment.
    pub fn venv(&self) -> PathBuf {
        self.lab().join("venv")
    }

    /// A program of the virtual environment, such as `jupyter`.
    pub fn venv_program(&self, name: &str) -> PathBuf {
        self.venv().join("bin").join(name)
    }

    /// The pinned Python packages.
    pub fn requirements(&self) -> PathBuf {
        self.source("kernel-ext/lab/requirements.txt")
    }

    /// A Python script that belongs to this command.
    pub fn script(&self, name: &str) -> PathBuf {
        self.source("kernel-ext/lab/python").join(name)
    }

    /// The lessons.
    pub fn notebooks(&self) -> PathBuf {
        self.source("notebooks")
    }

    /// The helper crate's folder.
    pub fn helpers(&self) -> PathBuf {
        self.source("helpers")
    }

    /// Where cargo leaves the programs and libraries that it builds.
    pub fn artifacts(&self) -> PathBuf {
        self.target().join(TRIPLE).join("debug")
    }

    /// The Jupyter kernel's program.
    pub fn kernel_program(&self) -> PathBuf {
        self.artifacts().join("onramp-kernel")
    }

    /// The helper's program for experiments in a fresh process.
    pub fn worker_program(&self) -> PathBuf {
        self.artifacts().join("onramp-worker")
    }

    /// The helper library that cells link to.
    pub fn helper_library(&self) -> PathBuf {
        let name = format!("{}onramp{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
        self.artifacts().join(name)
    }

    /// The folder in which the kernel keeps its template and what it recorded.
    pub fn kernel_state(&self) -> PathBuf {
        self.target().join("onramp")
    }

    /// The kernelspec inside the virtual environment.
    pub fn kernelspec(&self) -> PathBuf {
        self.venv().join("share/jupyter/kernels").join(KERNEL_NAME)
    }

    /// `path` relative to the root when it lies below it, for messages.
    pub fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lie_below_the_root() {
        let workspace = Workspace::at(Path::new("/some/where"));
        assert_eq!(workspace.venv_program("jupyter"), Path::new("/some/where/target/lab/venv/bin/jupyter"));
        assert!(workspace.kernel_program().starts_with(workspace.artifacts()));
        assert_eq!(workspace.relative(&workspace.notebooks()), Path::new("notebooks"));
        assert_eq!(workspace.relative(Path::new("/else")), Path::new("/else"));
    }
}
