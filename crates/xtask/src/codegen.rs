use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use xshell::{Shell, cmd};

use crate::{Result, Workspace};

/// Where protocols are written, and where the code made of them is kept: one file for each protobuf package.
const PROTOCOLS: [(&str, &str); 3] = [
    ("crates/plugin/proto", "crates/plugin/src/generated"),
    ("examples/proto", "examples/src/generated"),
    (
        "examples/proto/bidirectional",
        "examples/src/generated/bidirectional",
    ),
];

/// The first words of what prost makes; files without them are not ours to compare or remove.
const MARK: &str = "// This file is @generated";

pub(crate) fn run(workspace: &Workspace, check: bool) -> Result {
    let sh = &workspace.sh;
    let mut stale = Vec::new();
    for (protos, generated) in PROTOCOLS {
        let made = make(sh, protos)?;
        let committed = read(sh, generated)?;
        let names: BTreeSet<_> = made.keys().chain(committed.keys()).collect();
        for name in names {
            let path = format!("{generated}/{name}");
            match (made.get(name), committed.get(name)) {
                (made, committed) if made == committed => {}
                _ if check => stale.push(path),
                (Some(code), _) => sh.write_file(path, code)?,
                (None, _) => sh.remove_path(path)?,
            }
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("stale, run `cargo xtask codegen`: {}", stale.join(", ")).into())
}

/// The formatted code of all protocols in a folder, by file name.
fn make(sh: &Shell, protos: &str) -> Result<BTreeMap<String, String>> {
    let protos = sh.current_dir().join(protos);
    let files = files(sh, &protos, "proto")?;
    if files.is_empty() {
        return Err(format!("no .proto files in {}", protos.display()).into());
    }
    // Its `Debug` is the form that names file, line and column.
    let descriptors = protox::compile(files, [protos]).map_err(|error| format!("{error:?}"))?;

    let folder = sh.create_temp_dir()?;
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .out_dir(folder.path())
        .compile_fds(descriptors)?;
    let code = self::files(sh, folder.path(), "rs")?;
    cmd!(sh, "rustfmt --edition 2024 {code...}").quiet().run()?;
    read(sh, folder.path())
}

/// The generated files of a folder, by file name.
fn read(sh: &Shell, folder: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    let mut code = BTreeMap::new();
    for path in files(sh, folder.as_ref(), "rs")? {
        let text = sh.read_file(&path)?;
        if let Some(name) = path.file_name().filter(|_| text.starts_with(MARK)) {
            code.insert(name.to_string_lossy().into_owned(), text);
        }
    }
    Ok(code)
}

fn files(sh: &Shell, folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    if !sh.path_exists(folder) {
        return Ok(Vec::new());
    }
    let mut files = sh.read_dir(folder)?;
    files.retain(|it| it.extension().is_some_and(|it| it == extension));
    Ok(files)
}
