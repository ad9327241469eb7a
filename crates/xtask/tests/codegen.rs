//! The generated code is committed, so that users need neither protoc nor a build script.

use std::process::Command;

#[test]
fn the_committed_code_is_what_codegen_makes() {
    let check = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["codegen", "--check"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{error}");
}
