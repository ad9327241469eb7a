use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mainstay_conn_pool::Connection;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};
use tower::service_fn;

use crate::{BoxError, MAX_SIZE, Server, Usable, pool, survives};

struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    process: Option<tokio::process::Child>,
}

struct Pg(Client);

impl Connection for Pg {
    fn is_broken(&self) -> bool {
        self.0.is_closed()
    }

    /// Its requests are answered in order, whether anybody still waits or not.
    fn is_reusable(&self) -> bool {
        true
    }

    async fn check(&mut self) -> Result<(), BoxError> {
        Ok(self.0.check_connection().await?)
    }
}

impl Usable for Pg {
    async fn use_it(&mut self) -> Result<(), BoxError> {
        let row = self.0.query_one("select 20 + 22", &[]).await?;
        assert_eq!(row.get::<_, i32>(0), 42);
        Ok(())
    }
}

impl Postgres {
    fn new() -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let programs = versions.map(|version| version.unwrap().path().join("bin"));
        let server = Self {
            folder: tempfile::tempdir().unwrap(),
            programs: programs.max().expect("a version of it"),
            process: None,
        };
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(server.folder.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let made = server
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres"])
            .arg("--pgdata")
            .arg(server.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        server
    }

    /// PostgreSQL refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn connect(folder: &Path) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = Config::new()
            .host_path(folder)
            .user("postgres")
            .application_name("pool")
            .connect(NoTls)
            .await?;
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Server for Postgres {
    async fn start(&mut self) {
        let mut command = tokio::process::Command::from(self.command("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
        let ready = async {
            while Self::connect(self.folder.path()).await.is_err() {
                // A real sleep, as nothing tells us when another process listens.
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), ready).await.unwrap();
    }

    /// SIGQUIT is its "immediate shutdown": the processes that serve connections die with it.
    async fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.id().unwrap().to_string();
        let killed = Command::new("kill").args(["-QUIT", &pid]).status();
        assert!(killed.unwrap().success());
        process.wait().await.unwrap();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[tokio::test]
async fn a_pool_of_postgresql_connections_survives_its_server() {
    let mut server = Postgres::new();
    server.start().await;
    let folder = server.folder.path().to_owned();
    let connector = service_fn(move |()| {
        let folder = folder.clone();
        async move { Ok::<_, BoxError>(Pg(Postgres::connect(&folder).await?)) }
    });
    let pool = pool(connector);
    let work = survives(&pool, &mut server);
    timeout(Duration::from_secs(120), work).await.unwrap();

    let watcher = Postgres::connect(server.folder.path()).await.unwrap();
    let sessions = async || {
        let query = "select count(*) from pg_stat_activity where application_name = 'pool'";
        let others = watcher.query_one(query, &[]).await.unwrap();
        others.get::<_, i64>(0) - 1
    };
    assert!(sessions().await <= MAX_SIZE.into());
    pool.drain(Duration::from_secs(5)).await.unwrap();
    let gone = async {
        while sessions().await > 0 {
            // A real sleep: it is the server that has to notice.
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    server.kill().await;
}
