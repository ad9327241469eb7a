use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use tempfile::TempDir;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attached::Running;
use super::connector::Connector;
use super::error::{LaunchError, LaunchFailure, Left};
use super::instance::{ForwardedOutput, Instance, SocketFiles};
use super::output::{LONGEST_LINE, Lines, Piece, Tail, shortened};
use super::process::Process;
use super::stdio::HostStdio;
use super::{Launcher, log, socket};
use crate::broker::{HostBroker, Means, Strays};
use crate::certificate::{Identity, Pinned, Role};
use crate::line::{Address, HandshakeLine};
use crate::mux::{Dialer, Over};
use crate::serve::Place;
use crate::tls::Tls;

/// How long a plugin that failed to start is given to end, before it is killed.
const ENDS_BY_ITSELF: Duration = Duration::from_millis(200);

/// A process that has not yet proved to be a plugin.
pub(crate) struct Started {
    process: Process,
    dir: TempDir,
    output: ForwardedOutput,
    plugin: Arc<str>,
}

impl Started {
    pub(crate) fn new(process: Process, dir: TempDir, launcher: &Launcher, stderr: Lines) -> Self {
        let plugin = launcher.name();
        let tail = Tail::default();
        let (reading, stderr_read) = watch::channel(());
        let mut tasks = JoinSet::new();
        let forward = log::forward_stderr(stderr, Arc::clone(&plugin), tail.clone());
        tasks.spawn(async move {
            forward.await;
            drop(reading);
        });
        Self {
            process,
            dir,
            output: ForwardedOutput {
                tail,
                stderr_read,
                tasks,
            },
            plugin,
        }
    }

    pub(crate) async fn into_instance(
        mut self,
        launcher: &Launcher,
        mut stdout: Lines,
        identity: Option<Identity>,
    ) -> Result<Instance, LaunchError> {
        let line = match self.first_line(launcher, &mut stdout).await {
            Ok(line) => line,
            Err((failure, line)) => return Err(self.failed(launcher, failure, &line).await),
        };
        let understood = understand(&line, &launcher.versions, identity);
        let (handshake, tls) = match understood {
            Ok(understood) => understood,
            Err(failure) => return Err(self.failed(launcher, failure, &line).await),
        };
        if launcher.multiplexing && !handshake.multiplexing() {
            let failure = LaunchFailure::NoMultiplexing;
            // Removed when the process is gone.
            let _socket = socket::elsewhere(handshake.address(), &launcher.plugins_temp_dir());
            return Err(self.failed(launcher, failure, &line).await);
        }
        let plugin = Arc::clone(&self.plugin);
        self.output.tasks.spawn(log::forward_stdout(stdout, plugin));
        let address = handshake.address().clone();
        tracing::info!(
            plugin = %self.plugin,
            pid = self.process.pid(),
            version = handshake.version(),
            "plugin started"
        );
        let dialer = launcher
            .multiplexing
            .then(|| Arc::new(Dialer::new(address.clone())));
        let broker = HostBroker::new(Means {
            place: match &address {
                Address::Unix(_) => Place::Unix {
                    dir: self.dir.path().to_owned(),
                    group: None,
                },
                Address::Tcp(_) => Place::Tcp(0..=0),
            },
            tls: tls.clone(),
            strays: Some(Arc::new(Strays::new(launcher.plugins_temp_dir()))),
            over: dialer.clone().map(Over::Dialer),
        });
        let tls = tls.map(|tls| tls.connecting);
        let mut connector = Connector::new(address.clone(), tls, launcher.connect_within);
        if let Some(dialer) = &dialer {
            connector = connector.over(Arc::clone(dialer));
        }
        Ok(Instance {
            broker,
            files: Some(SocketFiles {
                elsewhere: socket::elsewhere(&address, &launcher.plugins_temp_dir()),
                dir: self.dir,
            }),
            process: Running::Started(self.process),
            stdio: HostStdio::new(
                Arc::clone(&self.plugin),
                launcher.writers.clone(),
                self.output.tail.clone(),
            ),
            output: self.output,
            plugin: self.plugin,
            version: handshake.version(),
            connector,
            multiplexed: dialer.is_some(),
            channel: OnceCell::new(),
            connect_within: launcher.connect_within,
            stop_within: launcher.stop_within,
        })
    }

    /// The first line, or what is wrong with it and as much as there is of it.
    async fn first_line(
        &self,
        launcher: &Launcher,
        stdout: &mut Lines,
    ) -> Result<String, (LaunchFailure, String)> {
        let reading = async {
            tokio::select! {
                // First, so that a line from a process that has just ended is still read.
                biased;
                piece = stdout.next() => Some(piece),
                _ = self.process.ended() => None,
            }
        };
        let piece = match timeout(launcher.start_within, reading).await {
            Ok(Some(piece)) => piece,
            // Its pipe may have another holder, which neither prints nor ends.
            Ok(None) => match timeout(ENDS_BY_ITSELF, stdout.next()).await {
                Ok(piece) => piece,
                Err(_) => return Err((LaunchFailure::Exited, stdout.begun())),
            },
            Err(_) => {
                let failure = LaunchFailure::Timeout(launcher.start_within);
                return Err((failure, stdout.begun()));
            }
        };
        match piece {
            Ok(Piece::Line(line)) => Ok(line),
            Ok(Piece::Part(line)) => Err((LaunchFailure::LongLine(LONGEST_LINE), line)),
            Ok(Piece::End(line)) => Err((LaunchFailure::ClosedStdout, line)),
            Err(error) => Err((LaunchFailure::Prepare(error.into()), String::new())),
        }
    }

    /// Ends the process, and gathers what it left.
    async fn failed(
        self,
        launcher: &Launcher,
        mut failure: LaunchFailure,
        line: &str,
    ) -> LaunchError {
        // A process that is about to end explains more by its status than by being killed.
        let status = timeout(ENDS_BY_ITSELF, self.process.ended()).await.ok();
        if status.is_some() && matches!(failure, LaunchFailure::ClosedStdout) {
            failure = LaunchFailure::Exited;
        }
        let Self {
            process,
            dir,
            output,
            plugin: _,
        } = self;
        drop(process);
        drop(dir);
        let stderr = output.into_last_lines().await;
        // Upstream's words, by which plugins of any make say this.
        let no_cookie = |line: &String| line.starts_with("This binary is a plugin.");
        if matches!(failure, LaunchFailure::Exited) && stderr.iter().any(no_cookie) {
            failure = LaunchFailure::Cookie(launcher.cookie.key().to_owned());
        }
        LaunchError {
            failure,
            program: launcher.program.display().to_string(),
            line: Some(line).filter(|line| !line.is_empty()).map(shortened),
            left: Left {
                status: status.flatten(),
                stderr,
            },
        }
    }
}

fn understand(
    line: &str,
    versions: &BTreeSet<u32>,
    identity: Option<Identity>,
) -> Result<(HandshakeLine, Option<Tls>), LaunchFailure> {
    let handshake: HandshakeLine = line.parse().map_err(LaunchFailure::Line)?;
    if !versions.contains(&handshake.version()) {
        return Err(LaunchFailure::Version {
            plugin: handshake.version(),
            host: versions.clone(),
        });
    }
    let certificate = handshake.certificate().map(<[u8]>::to_vec);
    let tls = match (identity, certificate) {
        (None, None) => None,
        (None, Some(_)) => return Err(LaunchFailure::UnaskedCertificate),
        (Some(_), None) => return Err(LaunchFailure::NoCertificate),
        (Some(own), Some(der)) => {
            let pinned = Pinned::from_der(CertificateDer::from(der))
                .map_err(|error| LaunchFailure::Certificate(error.into()))?;
            // Every TLS handshake checks it again; here the failure can be told in full.
            pinned
                .check_use(Role::Server, UnixTime::now())
                .map_err(rustls::Error::from)
                .and_then(|()| Tls::new(own, pinned))
                .map(Some)
                .map_err(|error| LaunchFailure::Certificate(error.into()))?
        }
    };
    Ok((handshake, tls))
}

#[cfg(test)]
mod tests;
