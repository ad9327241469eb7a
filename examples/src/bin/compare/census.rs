use std::fs;
use std::io;

/// What this process holds at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Census {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Zombies too.
    pub(crate) children: usize,
    /// What lies in the folder for temporary files.
    pub(crate) files: usize,
    /// Resident memory.
    pub(crate) kibibytes: usize,
}

impl Census {
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            // Less the one that reads them.
            descriptors: fs::read_dir("/proc/self/fd")?.count() - 1,
            threads: fs::read_dir("/proc/self/task")?.count(),
            children: children()?,
            files: fs::read_dir(std::env::temp_dir())?.count(),
            kibibytes: resident()?,
        })
    }

    /// Whether it holds nothing more than `before`, memory aside.
    pub(crate) fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.children <= before.children
            && self.files <= before.files
    }
}

fn children() -> io::Result<usize> {
    let parent = format!("\nPPid:\t{}\n", std::process::id());
    let processes = fs::read_dir("/proc")?.flatten();
    // A process may end before it is read.
    let statuses = processes.filter_map(|it| fs::read_to_string(it.path().join("status")).ok());
    Ok(statuses.filter(|it| it.contains(&parent)).count())
}

fn resident() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let value = value.and_then(|it| it.trim().strip_suffix(" kB")?.parse().ok());
    value.ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}
