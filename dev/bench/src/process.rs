//! What Linux says of a process: CPU time of all its threads, memory now and at its peak.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of every thread of a process so far, in nanoseconds by thread id.
pub struct Cpu(HashMap<String, u64>);

impl Cpu {
    /// No time yet: of a process at its start.
    pub fn none() -> Self {
        Self(HashMap::new())
    }

    /// Reads `/proc/PID/task/*/schedstat`, whose first number is the time on a CPU.
    pub fn of(pid: u32) -> Result<Self> {
        let dir = format!("/proc/{pid}/task");
        let mut threads = HashMap::new();
        for entry in fs::read_dir(&dir).with_context(|| format!("failed to list {dir}"))? {
            let entry = entry?;
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let nanos = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
            threads.insert(entry.file_name().to_string_lossy().into_owned(), nanos);
        }
        Ok(Self(threads))
    }

    /// What the process used since `earlier`. Threads that ended in between are not counted; those of
    /// a pool end after seconds of idleness only.
    pub fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, nanos): (&String, &u64)| {
            nanos.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0))
        };
        Duration::from_nanos(self.0.iter().map(used).sum())
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct Memory {
    /// Resident pages.
    pub rss: u64,
    /// The most that was ever resident, or since [`reset_peak`].
    pub peak: u64,
}

/// Reads `/proc/PID/status`; `None` once the process has ended.
pub fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Memory { rss: kibibytes(&status, "VmRSS:")?, peak: kibibytes(&status, "VmHWM:")? })
}

/// The proportional share of all pages, in bytes.
pub fn pss(pid: u32) -> Option<u64> {
    kibibytes(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// Lets [`Memory::peak`] begin again from what is resident now.
pub fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("failed to write {path}"))
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    rest.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let before = Cpu::of(std::process::id()).unwrap();
        let mut sum = 0_u64;
        for n in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
        let used = Cpu::of(std::process::id()).unwrap().since(&before);
        assert!(used > Duration::ZERO, "{sum}");
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.peak >= memory.rss && memory.rss > 0);
        assert!(pss(std::process::id()).unwrap() > 0);
    }
}
