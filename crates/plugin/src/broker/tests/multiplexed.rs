use prost::Message as _;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::mux::MuxStream;

/// A broker whose other side the test plays by hand; the streams are yamux's.
struct Hand {
    broker: Broker,
    say: mpsc::Sender<Result<ConnInfo, Status>>,
    outgoing: Outgoing,
    session: Session,
    streams: mpsc::Receiver<MuxStream>,
}

fn by_hand() -> Hand {
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    let [ours, theirs] = [ours, theirs].map(|it| fresh(Either::Left(Either::Left(it))));
    let (sender, streams) = mpsc::channel(16);
    let (session, driver) = Session::new(theirs, Mode::Client, Some(sender));
    tokio::spawn(driver);
    let (own, driver) = Session::new(ours, Mode::Server, None);
    tokio::spawn(driver);
    let broker = Broker::new();
    let (link, outgoing) = broker.open(Means {
        place: Place::Tcp(0..=0),
        tls: None,
        strays: None,
        over: Some(mux::Over::Session(own, Address::Unix("/plugin".into()))),
    });
    let (say, incoming) = mpsc::channel(1);
    reads(&broker, link, ReceiverStream::new(incoming));
    Hand {
        broker,
        say,
        outgoing,
        session,
        streams,
    }
}

impl Hand {
    /// Says these bytes, as they stand in the contract.
    async fn say(&self, message: &[u8]) {
        let message = ConnInfo::decode(message).unwrap();
        self.say.send(Ok(message)).await.unwrap();
    }

    /// What is said to the other side.
    async fn heard(&mut self) -> Vec<u8> {
        let message = timeout(SOON, self.outgoing.next()).await.unwrap();
        message.unwrap().encode_to_vec()
    }

    async fn hears_nothing(&mut self) {
        let message = timeout(Duration::from_millis(20), self.outgoing.next()).await;
        assert!(message.is_err(), "{message:?}");
    }

    fn dial(&self, id: u32) -> tokio::task::JoinHandle<Result<Channel, BrokerError>> {
        let broker = self.broker.clone();
        tokio::spawn(async move { broker.dial(id).await })
    }

    async fn stream(&mut self) -> MuxStream {
        timeout(SOON, self.streams.recv()).await.unwrap().unwrap()
    }
}

/// The number in field 1, and a knock in field 4, whose own fields are 1 for itself and 2 for the answer.
const fn knock(id: u8) -> [u8; 6] {
    [0x08, id, 0x22, 2, 0x08, 1]
}

const fn ack(id: u8) -> [u8; 8] {
    [0x08, id, 0x22, 4, 0x08, 1, 0x10, 1]
}

/// Of a number that is not accepted, with `no` in field 3.
const fn refusal(id: u8) -> [u8; 12] {
    [0x08, id, 0x22, 8, 0x08, 1, 0x10, 1, 0x1a, 2, b'n', b'o']
}

#[tokio::test]
async fn who_dials_knocks_and_opens_a_stream_when_that_is_answered() {
    let mut hand = by_hand();
    let dial = hand.dial(7);
    assert_eq!(hand.heard().await, knock(7));
    assert!(hand.streams.try_recv().is_err());
    hand.say(&ack(7)).await;
    let mut stream = hand.stream().await;
    let channel = timeout(SOON, dial).await.unwrap().unwrap().unwrap();
    let _call = tokio::spawn(call(channel));
    let mut preface = [0; 14];
    timeout(SOON, stream.read_exact(&mut preface))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0");
}

#[tokio::test]
async fn who_accepts_says_nothing_before_there_is_a_knock_and_then_takes_the_next_stream() {
    let mut hand = by_hand();
    let accepted = hand.broker.accept(7, services()).await.unwrap();
    hand.hears_nothing().await;
    // As often as they like.
    for _ in 0..3 {
        hand.say(&knock(7)).await;
        assert_eq!(hand.heard().await, ack(7));
        let stream = timeout(SOON, hand.session.open()).await.unwrap().unwrap();
        let mut stream = Some(hyper_util::rt::TokioIo::new(stream));
        let connect = tower::service_fn(move |_| {
            let stream = stream.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { Ok::<_, std::io::Error>(stream?) }
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector(connect).await.unwrap();
        call(channel).await.unwrap();
    }
    accepted.close().await;
    // Now it is not accepted.
    hand.say(&knock(7)).await;
    hand.hears_nothing().await;
}

#[tokio::test]
async fn a_knock_that_comes_first_is_answered_when_the_number_is_accepted() {
    let mut hand = by_hand();
    hand.say(&knock(7)).await;
    hand.say(&knock(8)).await;
    hand.hears_nothing().await;
    hand.broker.accept(8, services()).await.unwrap().detach();
    assert_eq!(hand.heard().await, ack(8));
    hand.broker.accept(7, services()).await.unwrap().detach();
    assert_eq!(hand.heard().await, ack(7));
    hand.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_knock_is_kept_for_as_long_as_the_other_side_waits_and_no_longer() {
    for (after, answered) in [(4_800, true), (4_900, false)] {
        let mut hand = by_hand();
        hand.say(&knock(7)).await;
        tokio::task::yield_now().await;
        advance(Duration::from_millis(after)).await;
        hand.broker.accept(7, services()).await.unwrap().detach();
        let heard = timeout(Duration::from_millis(1), hand.outgoing.next()).await;
        assert_eq!(heard.is_ok(), answered);
    }
}

#[tokio::test(start_paused = true)]
async fn who_knocks_in_vain_is_told_after_five_seconds_what_was_awaited() {
    let hand = by_hand();
    let began = Instant::now();
    let error = hand.broker.dial(9).await.unwrap_err();
    assert_eq!(began.elapsed(), WITHIN);
    assert_eq!(
        error.to_string(),
        "brokered connection 9: the other side did not answer the knock within 5s: it does not \
         accept it"
    );
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_the_next_has_its_turn() {
    let mut hand = by_hand();
    let (first, second) = (hand.dial(7), hand.dial(8));
    assert_eq!(hand.heard().await, knock(7));
    hand.hears_nothing().await;
    hand.say(&refusal(7)).await;
    let error = timeout(SOON, first).await.unwrap().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "brokered connection 7: the other side refused the knock: \"no\""
    );
    assert_eq!(hand.heard().await, knock(8));
    hand.say(&ack(8)).await;
    let _stream = hand.stream().await;
    timeout(SOON, second).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_others_is_told_so_after_ten_seconds() {
    let hand = by_hand();
    let [_first, _second, third] = [1, 2, 3].map(|id| hand.dial(id));
    let began = Instant::now();
    let error = third.await.unwrap().unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(
        error.to_string(),
        "brokered connection 3: its turn did not come within 10s, as other connections were being \
         made"
    );
}

/// The other side keeps a door open, through which would else come what is dialled next.
#[tokio::test]
async fn an_answer_to_who_has_given_up_opens_a_stream_that_ends_at_once() {
    let mut hand = by_hand();
    let first = hand.dial(7);
    assert_eq!(hand.heard().await, knock(7));
    first.abort();
    let second = hand.dial(8);
    assert_eq!(hand.heard().await, knock(8));
    hand.say(&ack(7)).await;
    hand.say(&ack(8)).await;
    let mut given_up = hand.stream().await;
    let ended = timeout(SOON, given_up.read(&mut [0])).await.unwrap();
    assert_eq!(ended.unwrap(), 0);
    let mut stream = hand.stream().await;
    let channel = timeout(SOON, second).await.unwrap().unwrap().unwrap();
    let _call = tokio::spawn(call(channel));
    timeout(SOON, stream.read_u8()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_who_has_given_up_opens_nothing() {
    let mut hand = by_hand();
    let dial = hand.dial(7);
    assert_eq!(hand.heard().await, knock(7));
    dial.abort();
    hand.say(&refusal(7)).await;
    hand.say(&refusal(9)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(hand.streams.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_neither_knock_nor_answer_does_nothing() {
    let mut hand = by_hand();
    hand.broker.accept(7, services()).await.unwrap().detach();
    // Neither; an answer that says it is no knock; an address.
    for message in [
        &[0x08, 7, 0x22, 0][..],
        &[0x08, 7, 0x22, 2, 0x10, 1],
        &[
            0x08, 7, 0x12, 4, b'u', b'n', b'i', b'x', 0x1a, 2, b'/', b's',
        ],
    ] {
        hand.say(message).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = timeout(Duration::from_millis(1), hand.outgoing.next()).await;
    assert!(heard.is_err(), "{heard:?}");
    assert!(hand.streams.try_recv().is_err());
    assert!(hand.broker.dial(7).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn knocks_without_end_do_not_grow_memory() {
    let mut hand = by_hand();
    for id in 0..10_000_u32 {
        let knock = Knock {
            knock: true,
            ..Knock::default()
        };
        let message = ConnInfo {
            service_id: id,
            knock: Some(knock),
            ..ConnInfo::default()
        };
        hand.say.send(Ok(message)).await.unwrap();
    }
    tokio::task::yield_now().await;
    // Those that came first are kept.
    hand.broker
        .accept(9_999, services())
        .await
        .unwrap()
        .detach();
    hand.broker.accept(0, services()).await.unwrap().detach();
    let message = hand.outgoing.next().await.unwrap();
    assert_eq!(message.service_id, 0);
}

#[tokio::test]
async fn whoever_dials_stops_at_any_point_the_next_gets_what_it_dialled() {
    for polls in 0..40 {
        let pair = Pair::new(Over::Streams, false);
        let _accepted = pair.host.accept(1, services()).await.unwrap();
        let _other = pair.host.accept(2, Routes::default()).await.unwrap();
        dropped_after(polls, pair.plugin.dial(2)).await;
        let channel = timeout(SOON, pair.plugin.dial(1)).await.unwrap().unwrap();
        call(channel).await.unwrap();
    }
}

#[tokio::test]
async fn a_channel_whose_connection_is_lost_knocks_again() {
    let pair = Pair::new(Over::Streams, false);
    let accepted = pair.host.accept(1, services()).await.unwrap();
    let channel = pair.plugin.dial(1).await.unwrap();
    call(channel.clone()).await.unwrap();
    accepted.close().await;
    let _again = pair.host.accept(1, services()).await.unwrap();
    call(channel).await.unwrap();
}

#[tokio::test]
async fn who_has_not_the_certificate_is_not_served() {
    let secure = Pair::new(Over::Streams, true);
    let _accepted = secure.plugin.accept(1, services()).await.unwrap();
    call(secure.host.dial(1).await.unwrap()).await.unwrap();
    let State::Open(link) = secure.host.0.state.borrow().clone() else {
        panic!()
    };
    // Without any TLS.
    let connector = crate::launch::Connector::new(Address::Unix("/plugin".into()), None, SOON);
    let connector = connector.knocking(link, 1);
    let first = connector.clone().oneshot(()).await.unwrap();
    assert!(call(connector.channel_over(first)).await.is_err());
}
