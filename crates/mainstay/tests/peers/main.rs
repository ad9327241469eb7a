//! The HTTP client against nginx, which is installed here and is started by the tests.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{StatusCode, Version};
use mainstay::conn_pool::KeyedLimits;
use mainstay::http::{Client, Http, Resolve, Resolving};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

struct Nginx {
    folder: TempDir,
    process: Child,
    plain: u16,
    tls: u16,
    certificate: CertificateDer<'static>,
}

/// The name in the certificate.
const HOST: &str = "shop.test";

struct Loopback;

impl Nginx {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [plain, tls] = free_ports();
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).unwrap();
        fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(
            folder.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        fs::write(folder.path().join("page"), "x".repeat(100_000)).unwrap();
        let config = config(folder.path().to_str().unwrap(), plain, tls);
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let process = Command::new("nginx")
            .args(["-e", "stderr", "-p"])
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx is installed");
        let nginx = Self {
            folder,
            process,
            plain,
            tls,
            certificate: made.cert.der().clone(),
        };
        let ready = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", plain))
                .await
                .is_err()
            {
                // A real sleep, as nothing tells us when another process listens.
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), ready).await.unwrap();
        nginx
    }

    fn http(&self) -> Http {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let n = |number| NonZeroU32::new(number).unwrap();
        let limits = KeyedLimits::new(n(8), n(8)).unwrap();
        Http::new()
            .with_tls(tls)
            .with_resolver(Loopback)
            .with_limits(limits)
    }

    /// How many connections the requests in its log came over, and over how many at most at the same
    /// time, as it counted them itself when it answered.
    fn logged(&self) -> (usize, u32) {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        let lines = log.lines().map(|line| line.split_once(' ').unwrap());
        let mut connections: Vec<_> = lines.clone().map(|(connection, _)| connection).collect();
        connections.sort_unstable();
        connections.dedup();
        let active = lines.map(|(_, active)| active.parse().unwrap());
        (connections.len(), active.max().unwrap())
    }

    async fn stop(mut self) {
        self.process.kill().await.unwrap();
    }
}

/// One worker and no master, so that all ends with the process that was started. A connection of
/// HTTP/1.1 is for ten requests, one of HTTP/2 for fifty. It takes 128 of these at a time, which is nginx's
/// default and more than the client sends: one that hyper holds back when a connection ends fails, since
/// hyper does not say whether it left.
fn config(folder: &str, plain: u16, tls: u16) -> String {
    let mut temporary = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temporary, "{kind}_temp_path {folder}/{kind};").unwrap();
    }
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr error;
        events {{ worker_connections 100; }}
        http {{
            {temporary}
            log_format counts '$connection $connections_active';
            access_log {folder}/access.log counts;
            root {folder};
            server {{
                listen 127.0.0.1:{plain};
                keepalive_requests 10;
                location /moved {{ return 302 /page; }}
            }}
            server {{
                listen 127.0.0.1:{tls} ssl http2;
                ssl_certificate {folder}/cert.pem;
                ssl_certificate_key {folder}/key.pem;
                keepalive_requests 50;
            }}
        }}"
    )
}

/// Nobody else may take them before nginx does, which is as good as certain.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|it| it.local_addr().unwrap().port())
}

impl Resolve for Loopback {
    fn resolve(&self, _: String) -> Resolving {
        Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })
    }
}

async fn gets_the_page(client: &Client, url: &str, version: Version) {
    let answer = client.get(url).send().await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, version)
    );
    assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn connections_that_nginx_closes_after_ten_requests_cost_none() {
    let nginx = Nginx::start().await;
    let client = nginx.http().with_redirects(1).client();
    let page = format!("http://127.0.0.1:{}/page", nginx.plain);
    for _ in 0..100 {
        gets_the_page(&client, &page, Version::HTTP_11).await;
    }
    assert_eq!(nginx.logged(), (10, 1));
    let moved = format!("http://127.0.0.1:{}/moved", nginx.plain);
    join_all((0..200).map(|_| gets_the_page(&client, &moved, Version::HTTP_11))).await;
    let (_, active) = nginx.logged();
    assert!((2..=8).contains(&active), "{active} connections");
    let missing = client.get(&format!("{page}2")).send().await.unwrap();
    let error = missing.error_for_status().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
    assert!(error.to_string().contains("nginx"));
    client.close(Duration::from_secs(5)).await.unwrap();
    nginx.stop().await;
}

#[tokio::test]
async fn connections_of_http2_that_nginx_closes_cost_none() {
    let nginx = Nginx::start().await;
    let client = nginx.http().client();
    let page = format!("https://{HOST}:{}/page", nginx.tls);
    for _ in 0..120 {
        gets_the_page(&client, &page, Version::HTTP_2).await;
    }
    let (connections, active) = nginx.logged();
    assert!((2..=4).contains(&connections), "{connections} connections");
    assert!(active <= 2, "{active} connections");
    join_all((0..200).map(|_| gets_the_page(&client, &page, Version::HTTP_2))).await;
    let (_, active) = nginx.logged();
    assert!(active <= 8, "{active} connections");
    client.close(Duration::from_secs(5)).await.unwrap();
    nginx.stop().await;
}
