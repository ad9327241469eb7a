use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::wait::soon;

/// A program of these examples.
pub(super) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a program prints that succeeds.
pub(super) async fn printed(program: &str, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = ended(program, arguments).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    stdout
}

/// What a program prints that fails, and what it complains of in the last line of stderr.
pub(super) async fn failed(program: &str, arguments: &[&str]) -> (String, String) {
    let (code, stdout, stderr) = ended(program, arguments).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let name = Path::new(program).file_name().unwrap().to_str().unwrap();
    let last = stderr.lines().last().unwrap();
    let complaint = last.strip_prefix(&format!("{name}: ")).expect(last);
    (stdout, complaint.into())
}

/// What is wrong with the arguments, of a program that does not begin with them.
pub(super) async fn refused(program: &str, arguments: &[&str]) -> String {
    let (code, stdout, stderr) = ended(program, arguments).await;
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    stderr.lines().next().unwrap().into()
}

async fn ended(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(program, arguments);
    let output = soon("the program ends", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
