//! `:dep name = { path = "../folder" }`: a path means the same in every cell, whatever evcxr's own folder is.

use std::path::Path;

/// `code` with the relative paths of its `:dep` lines made absolute, from `folder`, where the notebook is. evcxr
/// compares dependencies as text: the absolute form also makes a repeated line free.
pub fn absolute(code: &str, folder: &Path) -> String {
    let lines: Vec<String> =
        code.split('\n').map(|line| absolute_line(line, folder).unwrap_or_else(|| line.into())).collect();
    lines.join("\n")
}

fn absolute_line(line: &str, folder: &Path) -> Option<String> {
    let rest = line.trim_start().strip_prefix(":dep")?;
    let (before, after) = rest.split_once("path")?;
    let quoted = after.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    let (path, after) = quoted.split_once('"')?;
    let path = folder.join(path);
    // A folder that is not there is evcxr's to complain about, with the path that was looked at.
    let path = path.canonicalize().unwrap_or(path);
    Some(format!(":dep{before}path = \"{}\"{after}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_becomes_absolute_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("notebooks")).unwrap();
        std::fs::create_dir_all(root.join("helpers")).unwrap();
        let code = ":dep onramp = { path = \"../helpers\" }\nuse onramp::prelude::*;\n:dep rand = \"0.9\"";
        let expected = format!(
            ":dep onramp = {{ path = \"{}\" }}\nuse onramp::prelude::*;\n:dep rand = \"0.9\"",
            root.join("helpers").display()
        );
        assert_eq!(absolute(code, &root.join("notebooks")), expected);
    }

    #[test]
    fn a_path_that_is_not_there_is_named_in_full() {
        let absolute = absolute(":dep x={path=\"nowhere\", features=[\"a\"]}", Path::new("/no"));
        assert_eq!(absolute, ":dep x={path = \"/no/nowhere\", features=[\"a\"]}");
    }
}
