//! How the programs of the patterns begin and end.

use std::error::Error;
use std::fmt::{Display, Write};
use std::process::ExitCode;

use mainstay_batch::ItemError;

/// What a program can fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Runs a program. If it fails, the error and its causes are one line on stderr, and the exit code is 1.
///
/// `RUST_LOG=debug` shows what the crates are doing.
pub async fn run(name: &str, program: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    match program.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Prints what came of each item, one a line.
///
/// # Errors
/// If some have failed, with how many.
pub fn print_each<T: Display, E: Into<BoxError>>(
    items: &[String],
    results: Vec<Result<T, ItemError<E>>>,
) -> Result<(), BoxError> {
    let mut failed = 0;
    for (item, result) in items.iter().zip(results) {
        failed += u32::from(result.is_err());
        match result {
            Ok(value) => println!("{item}: {value}"),
            Err(ItemError::Failed(error)) => println!("{item}: {}", with_causes(&*error.into())),
            Err(ItemError::Panicked(panicked)) => println!("{item}: {panicked}"),
        }
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} failed", items.len()).into()),
    }
}

/// The error and its causes, each of which says one thing only.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(told, ": {error}").expect("a String takes all that is written to it");
        cause = error.source();
    }
    told
}
