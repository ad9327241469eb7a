use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::BoxError;
use crate::programs::Programs;

/// Runs the Go host with `plugin`, and gives the figures that it prints.
///
/// It is the head of a process group, so that a Ctrl-C is not for it: it would die of it and leave
/// its plugin. So it ends by itself when its round is over.
pub(crate) async fn run(
    programs: &Programs,
    plugin: &Path,
    tls: bool,
    command: &[&str],
) -> Result<Value, BoxError> {
    let mut host = Command::new(&programs.go_host);
    host.process_group(0)
        .args(["--quiet", "--plugin"])
        .arg(plugin)
        .args(tls.then_some("--auto-mtls"))
        .args(command);
    let ended = host.output().await?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(format!("{host:?} ended with {}: {said}", ended.status).into());
    }
    Ok(serde_json::from_slice(&ended.stdout)?)
}

/// The figure `name` of what [`run`] has given.
pub(crate) fn figure(figures: &Value, name: &str) -> Result<f64, BoxError> {
    let figure = figures.get(name).and_then(Value::as_f64);
    figure.ok_or_else(|| format!("the Go host printed no {name}: {figures}").into())
}
