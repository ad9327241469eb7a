use std::fs;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::mpsc;
use tokio::time::{advance, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use yamux::Mode;

use super::*;
use crate::certificate::Identity;
use crate::certificate::tests::pinned;
use crate::connection::fresh;
use crate::generated::ConnInfo;
use crate::generated::conn_info::Knock;
use crate::line::Address;
use crate::mux::{self, Session};
use crate::serve::Place;
use crate::tls::Tls;

/// A bound for what should take milliseconds.
const SOON: Duration = Duration::from_secs(20);

/// Two brokers, each the other's other side.
struct Pair {
    host: Broker,
    plugin: Broker,
    dir: tempfile::TempDir,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Unix,
    Tcp,
    /// Over the one connection, in which none of the sockets show.
    Streams,
}

impl Pair {
    fn plain() -> Self {
        Self::new(Over::Unix, false)
    }

    fn new(over: Over, secure: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = || match over {
            Over::Unix => Place::Unix {
                dir: dir.path().to_owned(),
                group: None,
            },
            Over::Tcp | Over::Streams => Place::Tcp(0..=0),
        };
        let [mut hosts_end, mut plugins_end] = [const { None }; 2];
        if over == Over::Streams {
            let [host, plugin] = sessions();
            (hosts_end, plugins_end) = (Some(host), Some(plugin));
        }
        let [hosts, plugins] = [(); 2].map(|()| Identity::generate().unwrap());
        let tls = |own: &Identity, peer: &Identity| {
            secure.then(|| Tls::new(own.clone(), pinned(peer)).unwrap())
        };
        let (host, plugin) = (Broker::new(), Broker::new());
        let (host_link, from_host) = host.open(Means {
            place: place(),
            tls: tls(&hosts, &plugins),
            strays: None,
            over: hosts_end,
        });
        let (plugin_link, from_plugin) = plugin.open(Means {
            place: place(),
            tls: tls(&plugins, &hosts),
            strays: None,
            over: plugins_end,
        });
        reads(&host, host_link, from_plugin.map(Ok));
        reads(&plugin, plugin_link, from_host.map(Ok));
        Self { host, plugin, dir }
    }

    fn files(&self) -> usize {
        fs::read_dir(self.dir.path()).unwrap().count()
    }
}

/// The two ends of a multiplexed connection.
fn sessions() -> [mux::Over; 2] {
    let (host, plugin) = tokio::net::UnixStream::pair().unwrap();
    [(host, Mode::Client), (plugin, Mode::Server)].map(|(socket, mode)| {
        let socket = fresh(Either::Left(Either::Left(socket)));
        let (session, driver) = Session::new(socket, mode, None);
        tokio::spawn(driver);
        mux::Over::Session(session, Address::Unix("/plugin".into()))
    })
}

fn reads(
    broker: &Broker,
    link: Arc<Link>,
    incoming: impl tokio_stream::Stream<Item = Result<ConnInfo, Status>> + Send + Unpin + 'static,
) {
    let of = broker.clone();
    broker.spawn(async move {
        let why = link.run(incoming).await;
        of.ended(&link, &why);
    });
}

/// A broker whose other side the test plays by hand.
fn by_hand() -> (Broker, mpsc::Sender<Result<ConnInfo, Status>>, Outgoing) {
    let broker = Broker::new();
    let (link, outgoing) = broker.open(Means {
        place: Place::Tcp(0..=0),
        tls: None,
        strays: None,
        over: None,
    });
    let (say, incoming) = mpsc::channel(1);
    reads(&broker, link, ReceiverStream::new(incoming));
    (broker, say, outgoing)
}

fn announcement(id: u32, network: &str, address: &str) -> ConnInfo {
    ConnInfo {
        service_id: id,
        network: network.to_owned(),
        address: address.to_owned(),
        knock: None,
    }
}

/// Says that it serves.
#[derive(Clone, Debug)]
struct Serves;

#[tonic::async_trait]
impl Health for Serves {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }))
    }

    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

fn services() -> Routes {
    Routes::new(HealthServer::new(Serves))
}

async fn call(channel: Channel) -> Result<(), Status> {
    let request = HealthCheckRequest::default();
    let call = async move { HealthClient::new(channel).check(request).await };
    timeout(SOON, call).await.unwrap().map(drop)
}

/// Waits for what tasks do by themselves, on the real clock.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_one_side_accepts_the_other_calls_whichever_comes_first() {
    for over in [Over::Unix, Over::Tcp, Over::Streams] {
        for secure in [false, true] {
            let pair = Pair::new(over, secure);
            for (one, other) in [(&pair.host, &pair.plugin), (&pair.plugin, &pair.host)] {
                let id = one.next_id();
                let accepted = one.accept(id, services()).await.unwrap();
                let channel = other.dial(id).await.unwrap();
                call(channel).await.unwrap();
                accepted.close().await;
                assert_eq!(pair.files(), 0);

                let dialled = tokio::spawn({
                    let other = other.clone();
                    async move { other.dial(77).await }
                });
                tokio::task::yield_now().await;
                let accepted = one.accept(77, services()).await.unwrap();
                call(dialled.await.unwrap().unwrap()).await.unwrap();
                drop(accepted);
                until("the socket file is gone", || pair.files() == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn who_has_not_the_certificate_is_not_served() {
    let (secure, plain) = (Pair::new(Over::Unix, true), Pair::plain());
    let _accepted = secure.plugin.accept(1, services()).await.unwrap();
    let path = fs::read_dir(secure.dir.path()).unwrap().next().unwrap();
    let path = path.unwrap().path().to_str().unwrap().to_owned();
    for link in [&plain.host, &Pair::new(Over::Unix, true).host] {
        let state = link.0.state.borrow().clone();
        let State::Open(link) = state else { panic!() };
        let connector = {
            link.received_for_tests(&announcement(1, "unix", &path))
                .await;
            link.connector(1, Instant::now() + SOON).await.unwrap()
        };
        let connected = connector.clone().oneshot(()).await;
        let called = match connected {
            Ok(first) => call(connector.channel_over(first)).await,
            Err(error) => Err(Status::unavailable(error.to_string())),
        };
        assert!(called.is_err());
    }
    call(secure.host.dial(1).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn one_number_is_accepted_once_at_a_time() {
    for over in [Over::Unix, Over::Streams] {
        let pair = Pair::new(over, false);
        let accepted = pair.host.accept(5, services()).await.unwrap();
        let error = pair.host.accept(5, services()).await.unwrap_err();
        assert!(matches!(error.failure(), BrokerFailure::Taken), "{error}");
        // The other side's numbers are its own.
        pair.plugin
            .accept(5, services())
            .await
            .unwrap()
            .close()
            .await;
        accepted.close().await;
        pair.host.accept(5, services()).await.unwrap().close().await;
    }
}

#[test]
fn numbers_begin_at_one_and_clones_share_them() {
    let broker = Broker::new();
    let clone = broker.clone();
    assert_eq!((broker.next_id(), clone.next_id()), (1, 2));
    broker.0.last_id.store(u32::MAX - 1, Ordering::Relaxed);
    assert_eq!((broker.next_id(), broker.next_id()), (u32::MAX, 0));
}

#[tokio::test(start_paused = true)]
async fn who_dials_what_nobody_accepts_is_told_after_five_seconds_what_was_awaited() {
    let (broker, _say, _outgoing) = by_hand();
    let began = Instant::now();
    let error = broker.dial(9).await.unwrap_err();
    assert_eq!(began.elapsed(), WITHIN);
    assert_eq!(
        error.to_string(),
        "brokered connection 9: the other side did not announce within 5s where it accepts it"
    );
}

#[tokio::test(start_paused = true)]
async fn who_dials_when_no_host_has_come_is_told_so_after_five_seconds() {
    let began = Instant::now();
    let error = Broker::new().dial(9).await.unwrap_err();
    assert_eq!(began.elapsed(), WITHIN);
    assert_eq!(
        error.to_string(),
        "brokered connection 9: the host did not open the broker's stream within 5s"
    );
}

#[tokio::test(start_paused = true)]
async fn the_five_seconds_of_a_dial_are_those_for_the_host_and_the_announcement_together() {
    let broker = Broker::new();
    let began = Instant::now();
    let dial = tokio::spawn({
        let broker = broker.clone();
        async move { broker.dial(9).await }
    });
    tokio::task::yield_now().await;
    advance(Duration::from_secs(3)).await;
    let (_link, _outgoing) = broker.open(Means {
        place: Place::Tcp(0..=0),
        tls: None,
        strays: None,
        over: None,
    });
    let error = dial.await.unwrap().unwrap_err();
    assert!(matches!(error.failure(), BrokerFailure::NotAnnounced(_)));
    assert_eq!(began.elapsed(), WITHIN);
}

#[tokio::test]
async fn who_accepts_before_the_host_has_come_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let broker = Broker::new();
    let mut accept = pin!(broker.accept(1, services()));
    assert!(poll_once(accept.as_mut()).await.is_pending());
    let (_link, mut outgoing) = broker.open(Means {
        place: Place::Unix {
            dir: dir.path().to_owned(),
            group: None,
        },
        tls: None,
        strays: None,
        over: None,
    });
    let accepted = accept.await.unwrap();
    let message = outgoing.next().await.unwrap();
    assert_eq!((message.service_id, &*message.network), (1, "unix"));
    assert!(std::path::Path::new(&message.address).starts_with(dir.path()));
    assert_eq!(message.knock, None);
    accepted.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_dials_is_dropped_after_five_seconds() {
    let (broker, say, _outgoing) = by_hand();
    for (after, dropped) in [(4_999, false), (5_001, true)] {
        let message = announcement(1, "tcp", "127.0.0.1:1");
        say.send(Ok(message)).await.unwrap();
        tokio::task::yield_now().await;
        advance(Duration::from_millis(after)).await;
        let connector = broker.connector(1).await;
        assert_eq!(connector.is_err(), dropped);
    }
    // Also when nobody asks.
    let State::Open(link) = broker.0.state.borrow().clone() else {
        panic!()
    };
    say.send(Ok(announcement(2, "tcp", "127.0.0.1:1")))
        .await
        .unwrap();
    tokio::task::yield_now().await;
    assert_eq!(link.kept_for_tests(), 1);
    tokio::time::sleep(WITHIN + Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert_eq!(link.kept_for_tests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_second_announcement_of_a_number_is_dropped() {
    let (broker, say, _outgoing) = by_hand();
    for port in [1, 2] {
        let message = announcement(1, "tcp", &format!("127.0.0.1:{port}"));
        say.send(Ok(message)).await.unwrap();
    }
    tokio::task::yield_now().await;
    let connector = broker.connector(1).await.unwrap();
    assert_eq!(connector.address().to_string(), "tcp|127.0.0.1:1");
    assert!(broker.connector(1).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_is_no_address_is_told_to_who_dials_it() {
    let long = "x".repeat(1_000_000);
    for (network, address, told) in [
        ("udp", "127.0.0.1:1", "network is \"udp\""),
        ("", "", "network is \"\""),
        (&long, "", "network is \"xxx"),
        ("tcp", "localhost", "address is \"localhost\""),
        ("tcp", "127.0.0.1:0", "address is \"127.0.0.1:0\""),
        ("unix", &long, "… (1000000 bytes)\""),
    ] {
        let (broker, say, _outgoing) = by_hand();
        say.send(Ok(announcement(1, network, address)))
            .await
            .unwrap();
        let error = broker.dial(1).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        assert!(error.len() < 300, "{error}");
    }
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_told_to_who_dials_it() {
    for address in ["/nowhere/at/all", "", "with\0zero"] {
        let (broker, say, _outgoing) = by_hand();
        say.send(Ok(announcement(1, "unix", address)))
            .await
            .unwrap();
        let error = broker.dial(1).await.unwrap_err();
        assert!(matches!(error.failure(), BrokerFailure::Connect(_)));
        assert!(
            error.to_string().contains("cannot be connected to"),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn announcements_without_end_do_not_grow_memory() {
    let (broker, say, _outgoing) = by_hand();
    for id in 0..100_000 {
        let message = announcement(id, "unix", "/tmp/somewhere");
        say.send(Ok(message)).await.unwrap();
    }
    tokio::task::yield_now().await;
    let State::Open(link) = broker.0.state.borrow().clone() else {
        panic!()
    };
    assert_eq!(link.kept_for_tests(), 4096);
    // Those that came first are there, and later everything works again.
    broker.connector(0).await.unwrap();
    tokio::time::sleep(WITHIN + Duration::from_secs(1)).await;
    assert_eq!(link.kept_for_tests(), 0);
    say.send(Ok(announcement(1, "unix", "/s"))).await.unwrap();
    broker.connector(1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn knocks_on_a_plain_connection_do_nothing() {
    let (broker, say, _outgoing) = by_hand();
    for ack in [false, true] {
        let knock = Some(Knock {
            knock: !ack,
            ack,
            error: String::new(),
        });
        let message = ConnInfo {
            service_id: 1,
            knock,
            ..ConnInfo::default()
        };
        say.send(Ok(message)).await.unwrap();
    }
    let error = broker.dial(1).await.unwrap_err();
    assert!(matches!(error.failure(), BrokerFailure::NotAnnounced(_)));
}

#[tokio::test]
async fn everything_ends_when_the_other_side_closes_the_stream() {
    for over in [Over::Unix, Over::Streams] {
        for fails in [false, true] {
            let pair = Pair::new(over, false);
            let accepted = pair.host.accept(1, services()).await.unwrap();
            let channel = pair.plugin.dial(1).await.unwrap();
            call(channel.clone()).await.unwrap();
            let dial = tokio::spawn({
                let host = pair.host.clone();
                async move { host.dial(2).await }
            });
            tokio::task::yield_now().await;
            if fails {
                pair.plugin.abort("it crashed");
            } else {
                pair.plugin.close("it stops");
            }
            let error = timeout(SOON, dial).await.unwrap().unwrap().unwrap_err();
            assert!(
                matches!(error.failure(), BrokerFailure::Closed(_)),
                "{error}"
            );
            let error = pair.host.accept(3, services()).await.unwrap_err();
            assert!(
                matches!(error.failure(), BrokerFailure::Closed(_)),
                "{error}"
            );
            until("the socket is gone", || pair.files() == 0).await;
            assert!(call(channel).await.is_err());
            timeout(SOON, accepted.close()).await.unwrap();
            for broker in [&pair.host, &pair.plugin] {
                timeout(SOON, broker.finished()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_new_stream_begins_anew_and_one_that_is_closed_for_good_does_not() {
    let pair = Pair::plain();
    pair.host.accept(1, services()).await.unwrap().detach();
    let means = Means {
        place: Place::Tcp(0..=0),
        tls: None,
        strays: None,
        over: None,
    };
    let (_link, _outgoing) = pair.host.open(means.clone());
    until("the old one ends", || pair.files() == 0).await;
    pair.host.accept(1, services()).await.unwrap().close().await;
    pair.host.close("over");
    let (link, mut outgoing) = pair.host.open(means);
    assert!(link.ended().is_cancelled());
    assert_eq!(outgoing.next().await, None);
    let error = pair.host.dial(1).await.unwrap_err().to_string();
    assert_eq!(error, "brokered connection 1: the broker has ended: over");
}

#[tokio::test]
async fn what_is_left_to_the_broker_ends_with_it() {
    let pair = Pair::plain();
    pair.host.accept(1, services()).await.unwrap().detach();
    call(pair.plugin.dial(1).await.unwrap()).await.unwrap();
    assert_eq!(pair.files(), 1);
    pair.host.abort("over");
    timeout(SOON, pair.host.finished()).await.unwrap();
    assert_eq!(pair.files(), 0);
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Polls so many times, with whatever others do in between, and then drops it. True if it was over by then.
async fn dropped_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_once(future.as_mut()).await.is_ready() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test]
async fn an_accept_that_is_dropped_at_any_point_leaves_nothing() {
    let mut polls = 0;
    loop {
        let (broker, _say, outgoing) = by_hand();
        // Nobody sends: from the 17th on they wait to be announced.
        for id in 1..=16 {
            broker.accept(id, services()).await.unwrap().detach();
        }
        let fds = fds();
        let over = dropped_after(polls, broker.accept(100, services())).await;
        assert!(!over);
        until("its socket is closed", || self::fds() <= fds).await;
        drop(outgoing);
        if polls == 5 {
            break;
        }
        polls += 1;
    }

    for polls in 0.. {
        let pair = Pair::plain();
        let over = dropped_after(polls, pair.host.accept(1, services())).await;
        until("its socket file is gone", || pair.files() == 0).await;
        // The number is free again.
        let again = pair.host.accept(1, services()).await.unwrap();
        again.close().await;
        if over {
            break;
        }
    }
}

#[tokio::test]
async fn a_dial_that_is_dropped_at_any_point_leaves_the_announcement_to_the_next() {
    for polls in 0.. {
        let pair = Pair::plain();
        let over = dropped_after(polls, pair.plugin.connector(1)).await;
        let _accepted = pair.host.accept(1, services()).await.unwrap();
        call(pair.plugin.dial(1).await.unwrap()).await.unwrap();
        let State::Open(link) = pair.plugin.0.state.borrow().clone() else {
            panic!()
        };
        assert_eq!(link.kept_for_tests(), 0);
        assert!(!over);
        if polls == 5 {
            break;
        }
    }
    // Also when it has come already and was not looked at.
    let (broker, say, _outgoing) = by_hand();
    let mut dial = Box::pin(broker.connector(1));
    assert!(poll_once(dial.as_mut()).await.is_pending());
    say.send(Ok(announcement(1, "tcp", "127.0.0.1:1")))
        .await
        .unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    drop(dial);
    timeout(SOON, broker.connector(1)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_thousand_connections_leave_nothing_behind() {
    for over in [Over::Unix, Over::Streams] {
        let pair = Pair::new(over, false);
        call_over(&pair, 1).await;
        until("the first is gone", || pair.files() == 0).await;
        let (fds, tasks) = (self::fds(), tasks());
        for _ in 0..20 {
            call_over(&pair, 50).await;
        }
        assert_eq!(pair.files(), 0);
        until("the sockets are closed", || self::fds() <= fds).await;
        until("the tasks are over", || self::tasks() <= tasks).await;
    }
}

/// So many connections at once, half of them in either direction.
async fn call_over(pair: &Pair, connections: usize) {
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..connections {
        let (one, other) = match n % 2 {
            0 => (pair.host.clone(), pair.plugin.clone()),
            _ => (pair.plugin.clone(), pair.host.clone()),
        };
        calls.spawn(async move {
            let id = one.next_id();
            let accepted = one.accept(id, services()).await.unwrap();
            call(other.dial(id).await.unwrap()).await.unwrap();
            accepted.close().await;
        });
    }
    while let Some(called) = calls.join_next().await {
        called.unwrap();
    }
}

fn fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

mod multiplexed;
