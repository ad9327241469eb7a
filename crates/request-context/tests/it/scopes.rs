//! Where a context can be read, and where no more.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use futures_util::FutureExt;
use http::Request;
use mainstay_request_context::{
    Id, InContext, RequestContext, ServerContextLayer, deadline, remaining, spawn,
};
use tokio::task::yield_now;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt, service_fn};

fn context(id: &str) -> RequestContext {
    RequestContext::new(Id::new(id).unwrap())
}

fn current() -> Option<String> {
    RequestContext::current().map(|it| it.id().to_string())
}

fn request(id: &str) -> Request<()> {
    Request::builder()
        .header("x-request-id", id)
        .body(())
        .unwrap()
}

fn some(id: &str) -> Option<String> {
    Some(id.to_owned())
}

#[tokio::test]
async fn it_is_read_at_any_depth_and_in_the_call_itself() {
    async fn deep(depth: u32) -> Option<String> {
        yield_now().await;
        if depth == 0 {
            current()
        } else {
            Box::pin(deep(depth - 1)).await
        }
    }
    let service = service_fn(|_: Request<()>| {
        // As layers do that decide before they have a future.
        let in_call = current();
        async move { Ok::<_, Infallible>((in_call, deep(20).await)) }
    });
    let service = ServerContextLayer::new().layer(service);
    let seen = service.oneshot(request("a")).await.unwrap();
    assert_eq!(seen, (some("a"), some("a")));
    assert_eq!(current(), None);
}

#[tokio::test]
async fn nested_scopes_restore_the_one_around_them() {
    let nested = async {
        assert_eq!(current(), some("outer"));
        let inner = async {
            yield_now().await;
            assert_eq!(current(), some("inner"));
            async { assert_eq!(current(), None) }.in_context(None).await;
            assert_eq!(current(), some("inner"));
        };
        inner.in_context(context("inner")).await;
        assert_eq!(current(), some("outer"));
        context("closure").in_scope(|| assert_eq!(current(), some("closure")));
        assert_eq!(current(), some("outer"));
    };
    nested.in_context(context("outer")).await;
    assert_eq!(current(), None);
}

#[tokio::test]
async fn requests_on_one_task_do_not_see_each_other() {
    let service = service_fn(|it: Request<()>| async move {
        for _ in 0..10 {
            yield_now().await;
            let header = it.headers()["x-request-id"].to_str().unwrap();
            assert_eq!(current(), some(header));
        }
        Ok::<_, Infallible>(())
    });
    let mut service = ServerContextLayer::new().layer(service);
    let calls = (0..50).map(|it| service.call(request(&it.to_string())));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    // One after the other, nothing of the last one is left.
    assert_eq!(current(), None);
}

#[tokio::test]
async fn spawned_work_inherits_only_when_it_is_asked_to() {
    let work = async {
        let plain = tokio::spawn(async { current() }).await.unwrap();
        let inherited = spawn(async { current() }).await.unwrap();
        let given = tokio::spawn(async { current() }.in_context(context("given")))
            .await
            .unwrap();
        let carried = tokio::spawn(async { current() }.in_current_context())
            .await
            .unwrap();
        (plain, inherited, given, carried)
    };
    let seen = work.in_context(context("a")).await;
    assert_eq!(seen, (None, some("a"), some("given"), some("a")));
    assert_eq!(spawn(async { current() }).await.unwrap(), None);
}

#[tokio::test]
async fn it_moves_with_the_future_to_another_thread() {
    let service = service_fn(|_: Request<()>| async {
        yield_now().await;
        Ok::<_, Infallible>(current())
    });
    let mut call = task::spawn(
        ServerContextLayer::new()
            .layer(service)
            .oneshot(request("a")),
    );
    assert_pending!(call.poll());
    assert_eq!(current(), None);
    let poll = std::thread::spawn(move || (call.poll(), current()))
        .join()
        .unwrap();
    assert_eq!(poll, (std::task::Poll::Ready(Ok(some("a"))), None));
}

/// Remembers in which context it was dropped.
struct Dropped(Arc<Mutex<Vec<Option<String>>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(current());
    }
}

#[tokio::test]
async fn cancelled_at_any_poll_it_is_cleared_and_what_is_dropped_still_reads_it() {
    const POLLS: usize = 5;
    for polls in 0..=POLLS {
        let seen = Arc::default();
        let service = service_fn(|_: Request<()>| {
            let dropped = Dropped(Arc::clone(&seen));
            async move {
                let _dropped = dropped;
                for _ in 0..POLLS {
                    yield_now().await;
                }
                Ok::<_, Infallible>(())
            }
        });
        let mut service = ServerContextLayer::new().layer(service);
        let mut call = task::spawn(service.call(request("a")));
        for _ in 0..polls {
            assert_pending!(call.poll());
            assert_eq!(current(), None);
        }
        drop(call);
        assert_eq!(*seen.lock().unwrap(), [some("a")], "after {polls} polls");
        assert_eq!(current(), None);
    }
}

#[tokio::test]
async fn work_that_was_given_a_context_is_dropped_in_it_after_any_poll() {
    const POLLS: usize = 3;
    let work = |dropped| async move {
        let _dropped = dropped;
        for _ in 0..POLLS {
            yield_now().await;
        }
    };
    for polls in 0..=POLLS {
        let seen = Arc::default();
        let mut scoped = task::spawn(work(Dropped(Arc::clone(&seen))).in_context(context("a")));
        for _ in 0..polls {
            assert_pending!(scoped.poll());
            assert_eq!(current(), None);
        }
        drop(scoped);
        // Spawned by that request, and aborted.
        let spawned = || spawn(work(Dropped(Arc::clone(&seen))));
        let spawned = context("b").in_scope(spawned);
        for _ in 0..polls {
            yield_now().await;
        }
        spawned.abort();
        assert!(spawned.await.is_err(), "after {polls} polls");
        assert_eq!(
            *seen.lock().unwrap(),
            [some("a"), some("b")],
            "after {polls} polls"
        );
        assert_eq!(current(), None);
    }
}

#[tokio::test]
async fn a_panic_clears_it() {
    let service = service_fn(|it: Request<()>| {
        assert_ne!(it.headers()["x-request-id"], "call");
        async move {
            assert_ne!(it.headers()["x-request-id"], "poll");
            yield_now().await;
            panic!("{}", current().unwrap());
            #[expect(unreachable_code)]
            Ok::<_, Infallible>(())
        }
    });
    let mut service = ServerContextLayer::new().layer(service);
    let mut call = |id| catch_unwind(AssertUnwindSafe(|| service.call(request(id))));
    assert!(call("call").is_err());
    assert_eq!(current(), None);
    for id in ["poll", "later"] {
        let panic = AssertUnwindSafe(call(id).unwrap()).catch_unwind().await;
        assert!(panic.is_err());
        assert_eq!(current(), None);
    }
    let around = async {
        let panic = async { panic!("within") }.in_context(context("inner"));
        assert!(AssertUnwindSafe(panic).catch_unwind().await.is_err());
        assert_eq!(current(), some("outer"));
    };
    around.in_context(context("outer")).await;
}

#[tokio::test]
async fn fields_are_typed_and_belong_to_their_scope() {
    #[derive(Clone, Debug, PartialEq)]
    struct User(&'static str);
    #[derive(Clone, Debug, PartialEq)]
    struct Tenant(u32);
    let user = || RequestContext::current().unwrap().field::<User>().cloned();
    let outer = context("a").with_field(User("alice")).with_field(Tenant(7));
    let work = async {
        let inner = RequestContext::current().unwrap().with_field(User("root"));
        assert_eq!(inner.field(), Some(&Tenant(7)));
        async { assert_eq!(user(), Some(User("root"))) }
            .in_context(inner)
            .await;
        assert_eq!(user(), Some(User("alice")));
    };
    work.in_context(outer).await;
    assert_eq!(context("b").field::<User>(), None);
}

#[tokio::test(start_paused = true)]
async fn a_nested_deadline_is_never_later_than_the_one_around_it() {
    use std::time::Duration;
    let context = context("a").with_timeout(Duration::from_secs(5));
    let remaining_of = |it: RequestContext| it.in_scope(remaining);
    let seconds = |it| Some(Duration::from_secs(it));
    assert_eq!(
        remaining_of(context.clone().with_timeout(Duration::from_secs(9))),
        seconds(5)
    );
    assert_eq!(
        remaining_of(context.clone().with_timeout(Duration::from_secs(2))),
        seconds(2)
    );
    assert_eq!(
        remaining_of(context.clone().with_timeout(Duration::MAX)),
        seconds(5)
    );
    assert_eq!(remaining_of(context.clone().without_deadline()), None);
    assert_eq!(
        context.in_scope(deadline),
        Some(tokio::time::Instant::now() + Duration::from_secs(5))
    );
}
