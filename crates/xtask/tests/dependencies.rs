//! Who may name whom.

use std::{collections::BTreeSet, fs};

use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};
use toml::{Table, Value};

/// A crate of ours, and what it may depend on.
struct Row {
    name: &'static str,
    /// Crates of ours, for whatever use.
    ours: Names,
    /// Crates of others that every user of the crate gets: neither optional nor for development only.
    others: Names,
}

enum Names {
    Any,
    Only(&'static [&'static str]),
}

use Names::{Any, Only};

const TABLE: &[Row] = &[
    Row {
        name: "mainstay-circuit-breaker",
        ours: Only(&["mainstay-striped"]),
        others: Only(&[
            "pin-project-lite",
            "rand",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-retry-backoff",
        ours: Only(&["mainstay-striped"]),
        others: Only(&[
            "pin-project-lite",
            "rand",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-ttl-cache",
        ours: Only(&["mainstay-striped"]),
        others: Only(&[
            // Of quick_cache: its flights are found by a hash that is known, which std's map cannot.
            "hashbrown",
            "parking_lot",
            "pin-project-lite",
            "quick_cache",
            "rand",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-conn-pool",
        ours: Only(&[]),
        others: Only(&[
            "parking_lot",
            "pin-project-lite",
            "rand",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-batch",
        ours: Only(&[]),
        others: Only(&[
            "futures-core",
            "parking_lot",
            "pin-project-lite",
            "rand",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-tasks",
        ours: Only(&[]),
        others: Only(&["tokio", "tokio-util", "tracing"]),
    },
    Row {
        name: "mainstay-request-context",
        ours: Only(&[]),
        others: Only(&[
            "http",
            "pin-project-lite", // its futures have names
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
            "uuid",
        ]),
    },
    Row {
        name: "mainstay-plugin",
        ours: Only(&[]),
        others: Only(&[
            // Of rustls: checksums, and their comparison in constant time.
            "aws-lc-rs",
            "base64",
            "hyper",
            "hyper-util",
            "nix",
            "prost",
            "rcgen",
            "rustix",
            "rustls",
            "serde_json",
            "tempfile",
            "tokio",
            "tokio-rustls",
            "tokio-stream",
            "tokio-util",
            "tonic",
            "tonic-health",
            "tonic-prost",
            "tower",
            "tower-service",
            "tracing",
            "x509-parser",
            "yamux", // what brokered connections are multiplexed with
        ]),
    },
    Row {
        name: "mainstay-striped",
        ours: Only(&[]),
        others: Only(&[]),
    },
    Row {
        name: "mainstay",
        ours: Any,
        others: Only(&[
            "bytes",
            "h2",
            "http",
            "http-body",
            "hyper",
            "hyper-util",
            "pin-project-lite",
            "prost",
            "prost-types",
            "tokio",
            "tonic",
            "tonic-health",
            "tower",
            "tower-layer",
            "tower-service",
            "tracing",
        ]),
    },
    Row {
        name: "mainstay-examples",
        ours: Any,
        others: Any,
    },
    Row {
        name: "mainstay-examples-testing",
        ours: Any,
        others: Any,
    },
    Row {
        name: "mainstay-benches",
        ours: Any,
        others: Any,
    },
    Row {
        name: "xtask",
        ours: Any,
        others: Any,
    },
];

/// Those that stand above the leaves, and the one below.
const NOT_LEAVES: [&str; 6] = [
    "mainstay",
    "mainstay-benches",
    "mainstay-examples",
    "mainstay-examples-testing",
    "mainstay-striped",
    "xtask",
];

const WHAT_TO_DO: &str =
    "do without, or change TABLE in crates/xtask/tests/dependencies.rs and say why in the commit";

#[test]
fn every_crate_names_only_what_the_table_allows() {
    let mut faults = Vec::new();
    for package in workspace().workspace_packages() {
        let name = package.name.as_str();
        let Some(row) = TABLE.iter().find(|it| it.name == name) else {
            faults.push(format!(
                "{name} is not in the table: give it a row in TABLE in crates/xtask/tests/dependencies.rs"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            if !row.allows(dependency) {
                faults.push(format!(
                    "{name} may not depend on {}: {WHAT_TO_DO}",
                    dependency.name
                ));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_leaf_names_another_leaf() {
    let workspace = workspace();
    let members = workspace.workspace_packages();
    let is_leaf = |name: &str| !NOT_LEAVES.contains(&name);
    let leaves: BTreeSet<_> = members
        .iter()
        .map(|it| it.name.as_str())
        .filter(|it| is_leaf(it))
        .collect();
    let mut faults = Vec::new();
    for package in members.iter().filter(|it| is_leaf(&it.name)) {
        for dependency in &package.dependencies {
            if leaves.contains(dependency.name.as_str()) {
                faults.push(format!("{} depends on {}", package.name, dependency.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_crate_is_named_for_its_folder() {
    let workspace = workspace();
    let mut faults = Vec::new();
    for package in workspace.workspace_packages() {
        let folder = package.manifest_path.parent().unwrap();
        let folder = folder.strip_prefix(&workspace.workspace_root).unwrap();
        let name = match folder.as_str() {
            "crates/mainstay" => "mainstay".to_owned(),
            "crates/xtask" => "xtask".to_owned(),
            folder => {
                let path = folder.trim_start_matches("crates/");
                format!("mainstay-{}", path.replace('/', "-"))
            }
        };
        if package.name.as_str() != name {
            faults.push(format!("{folder} is package {}, not {name}", package.name));
        }
    }
    assert_none(&faults);
}

#[test]
fn every_crate_inherits_from_the_workspace() {
    let mut faults = Vec::new();
    for package in workspace().workspace_packages() {
        let manifest = manifest(package);
        for key in ["edition", "license", "rust-version"] {
            if !is_inherited(manifest.get("package").and_then(|it| it.get(key))) {
                faults.push(format!("{} lacks `{key}.workspace = true`", package.name));
            }
        }
        if !is_inherited(manifest.get("lints")) {
            faults.push(format!("{} lacks `[lints] workspace = true`", package.name));
        }
    }
    assert_none(&faults);
}

#[test]
fn versions_stand_in_the_workspace_only() {
    let mut faults = Vec::new();
    for package in workspace().workspace_packages() {
        let manifest = manifest(package);
        let targets = manifest.get("target").and_then(Value::as_table);
        let targets = targets
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table);
        for table in targets.chain([&manifest]) {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                for (name, dependency) in table
                    .get(kind)
                    .and_then(Value::as_table)
                    .into_iter()
                    .flatten()
                {
                    if !is_inherited(Some(dependency)) {
                        faults.push(format!(
                            "{} gives {name} a version: move it to [workspace.dependencies], and say `workspace = true`",
                            package.name,
                        ));
                    }
                }
            }
        }
    }
    assert_none(&faults);
}

impl Row {
    fn allows(&self, dependency: &Dependency) -> bool {
        let is_ours = dependency.path.is_some();
        let is_on_normal_path =
            dependency.kind != DependencyKind::Development && !dependency.optional;
        match if is_ours { &self.ours } else { &self.others } {
            Only(names) if is_ours || is_on_normal_path => {
                names.contains(&dependency.name.as_str())
            }
            _ => true,
        }
    }
}

/// The members as they are written, without their resolved dependencies: for those cargo may need a network.
fn workspace() -> Metadata {
    let offline = ["--offline", "--locked"].map(String::from).to_vec();
    MetadataCommand::new()
        .no_deps()
        .other_options(offline)
        .exec()
        .unwrap()
}

/// What cargo does not tell: which values of a member are inherited.
fn manifest(package: &Package) -> Table {
    fs::read_to_string(&package.manifest_path)
        .unwrap()
        .parse()
        .unwrap()
}

fn is_inherited(value: Option<&Value>) -> bool {
    value
        .and_then(|it| it.get("workspace"))
        .and_then(Value::as_bool)
        == Some(true)
}

#[track_caller]
fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
