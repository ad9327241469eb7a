use std::time::Duration;

use comfy_table::{Table, presets};
use mainstay_plugin::{Launcher, StoppedBy};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::sleep;

use crate::census::Census;
use crate::programs::Programs;
use crate::starts::{launcher, start};
use crate::{BoxError, Report};

/// Starts before the first census, after which what is made once has been made.
const WARM_UP: u32 = 50;

/// Resident memory that may come, in KiB: of a thousand starts that is 1 KiB each, less than a TLS
/// configuration or a connection takes. The allocator alone, whose pieces lie about differently
/// after each thread, takes about 200.
const MEMORY: usize = 1024;

/// [Looks](look) in a process that has nothing else to do, and a folder for temporary files that is
/// its own; whether nothing was left.
pub(crate) async fn look_apart(starts: u32) -> Result<bool, BoxError> {
    let temp_dir = TempDir::new()?;
    let ended = Command::new(std::env::current_exe()?)
        .args(["--left-by", &starts.to_string()])
        .env("TMPDIR", temp_dir.path())
        .status()
        .await?;
    Ok(ended.success())
}

/// Starts many plugins with AutoMTLS, one after another, and ends one half politely, the other by
/// dropping them; then compares what this process holds with what it held before.
pub(crate) async fn look(
    starts: u32,
    programs: &Programs,
    report: &Report,
) -> Result<bool, BoxError> {
    let launcher = launcher(programs, true)?;
    start_and_end(WARM_UP, &launcher, report).await?;
    let before = settled(None).await?;
    start_and_end(starts, &launcher, report).await?;
    let after = settled(Some(&before)).await?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "",
        "before",
        "after",
        "may grow by",
        "",
    ]);
    let mut is_nothing = true;
    for (name, before, after, allowed) in [
        ("open files", before.descriptors, after.descriptors, 0),
        ("threads", before.threads, after.threads, 0),
        ("child processes", before.children, after.children, 0),
        ("temporary files", before.files, after.files, 0),
        ("memory, KiB", before.kibibytes, after.kibibytes, MEMORY),
    ] {
        let is_within = after <= before + allowed;
        is_nothing &= is_within;
        table.add_row([
            name,
            &before.to_string(),
            &after.to_string(),
            &allowed.to_string(),
            if is_within { "ok" } else { "left behind" },
        ]);
    }
    report.table(
        &format!(
            "What this host holds before and after {starts} starts of our plugin with AutoMTLS, half of\n\
             which were stopped and half dropped."
        ),
        &table,
    );
    Ok(is_nothing)
}

async fn start_and_end(starts: u32, launcher: &Launcher, report: &Report) -> Result<(), BoxError> {
    for number in 1..=starts {
        report.doing(format!("start {number} of {starts}"));
        let plugin = start(launcher).await?;
        if number % 2 == 0 {
            let by = plugin.stop().await?.by();
            if by != StoppedBy::Shutdown {
                return Err(format!("a plugin did not stop when asked to: {by:?}").into());
            }
        }
    }
    Ok(())
}

/// The census once nothing more than `before` is held, or after a second: connections close and
/// threads end a little after what they served.
async fn settled(before: Option<&Census>) -> Result<Census, BoxError> {
    sleep(Duration::from_millis(100)).await;
    for _ in 0..9 {
        let census = Census::take()?;
        if before.is_some_and(|before| census.is_within(before)) {
            return Ok(census);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(Census::take()?)
}
