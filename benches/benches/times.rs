//! Takes times, and reports all that was measured.

fn main() -> std::process::ExitCode {
    mainstay_benches::times::main()
}
