//! Says on what a benchmark ran.

use std::fs;

use crate::process::clean_command;
use crate::workspace::Workspace;

/// Processor, cores, memory, system and compiler in one line.
pub fn describe(workspace: &Workspace) -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| field(&text, "model name"));
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal"));
    let memory =
        memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()).map(|kib| format!("{} GiB", kib >> 20));
    let cores = std::thread::available_parallelism().map(|cores| format!("{cores} cores")).ok();
    let compiler = clean_command("rustc").arg("--version").current_dir(workspace.root()).output().ok();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let system = Some(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    [processor, cores, memory, system, compiler].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_system_files_are_read() {
        assert_eq!(field("MemTotal:       24576000 kB\n", "MemTotal").as_deref(), Some("24576000 kB"));
        assert_eq!(field("model name\t: EPYC\n", "model name").as_deref(), Some("EPYC"));
        assert_eq!(field("", "model name"), None);
    }
}
