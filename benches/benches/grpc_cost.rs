//! What the whole stack costs a unary call to a plugin, beside a bare tonic channel whose calls have the same
//! `grpc-timeout`: `cargo bench --package mainstay-benches --features peers --bench grpc_cost`.
//!
//! It starts itself as the plugin, so that only the host's side is counted; and again below Valgrind, where that is
//! installed, to count instructions.

use std::env;
use std::error::Error;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use mainstay::plugin::{Cookie, Instance, Launcher, Plugin};
use mainstay::{Instances, Method, Methods, Stack, Stacked, Supervisor};
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

type BoxError = Box<dyn Error + Send + Sync>;

/// Longer than any call.
const TIMEOUT: Duration = Duration::from_secs(10);
const SAMPLES: usize = 101;
const CALLS: u64 = 200;

/// What the stack may add to a call; the instructions as a factor, which is more than they are, since how
/// often a task is woken depends on what else the machine does.
const ALLOCATIONS: f64 = 8.0;
const INSTRUCTIONS: f64 = 1.1;

/// Which side is called, when the program runs below Valgrind.
const SIDE: &str = "MAINSTAY_GRPC_COST_SIDE";
/// How often.
const TIMES: &str = "MAINSTAY_GRPC_COST_CALLS";

/// Both sides, each with a plugin process of its own, on one thread.
struct Sides {
    bare: HealthClient<Channel>,
    _plugin: Instance,
    stack: HealthClient<Stacked<Instances>>,
    instances: Instances,
}

/// For each call.
#[derive(Clone, Copy, Default)]
struct Cost {
    nanoseconds: f64,
    allocations: f64,
    instructions: Option<f64>,
}

fn main() -> Result<(), BoxError> {
    let cookie = Cookie::new("MAINSTAY_GRPC_COST", "plugin")?;
    if env::var_os(cookie.key()).is_some() {
        let plugin = Plugin::new(cookie, 1, Routes::default());
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(plugin.serve());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sides = runtime.block_on(Sides::start(cookie))?;
    let done = match env::var(SIDE) {
        Ok(side) => {
            let calls = env::var(TIMES)?.parse()?;
            runtime.block_on(sides.call(side == "stack", calls))
        }
        Err(_) => compare(&runtime, &mut sides),
    };
    runtime.block_on(sides.instances.drain(TIMEOUT))?;
    done
}

impl Sides {
    async fn start(cookie: Cookie) -> Result<Self, BoxError> {
        let launcher = Launcher::new(env::current_exe()?, cookie, 1);
        let plugin = launcher.launch().await?;
        let bare = HealthClient::new(plugin.connect().await?);
        let instances = Supervisor::new(launcher, NonZeroU32::MIN)
            // None in the middle of it.
            .with_health_every(Duration::from_secs(3_600))?
            .start();
        instances.ready().await?;
        let methods =
            Methods::new().with_method("grpc.health.v1.Health/Check", Method::unary().idempotent());
        Ok(Self {
            bare,
            _plugin: plugin,
            stack: HealthClient::new(Stack::new(methods).over(&instances)),
            instances,
        })
    }

    async fn call(&mut self, through_the_stack: bool, calls: u64) -> Result<(), BoxError> {
        for _ in 0..calls {
            let service = String::from("plugin");
            let mut request = Request::new(HealthCheckRequest { service });
            request.set_timeout(TIMEOUT);
            match through_the_stack {
                true => self.stack.check(request).await?,
                false => self.bare.check(request).await?,
            };
        }
        Ok(())
    }
}

fn compare(runtime: &Runtime, sides: &mut Sides) -> Result<(), BoxError> {
    let quick = env::args().any(|it| it == "--quick");
    let samples = if quick { 3 } else { SAMPLES };
    for side in [false, true] {
        runtime.block_on(sides.call(side, CALLS))?;
    }
    let mut nanoseconds = [Vec::new(), Vec::new()];
    for _ in 0..samples {
        for side in [0, 1] {
            let begun = Instant::now();
            runtime.block_on(sides.call(side == 1, CALLS))?;
            nanoseconds[side].push(begun.elapsed().as_nanos() as f64 / CALLS as f64);
        }
    }
    let mut costs = [Cost::default(); 2];
    for (side, cost) in costs.iter_mut().enumerate() {
        let mut failed = None;
        let counted = allocation_counter::measure(|| {
            failed = runtime.block_on(sides.call(side == 1, CALLS)).err();
        });
        if let Some(error) = failed {
            return Err(error);
        }
        nanoseconds[side].sort_by(f64::total_cmp);
        cost.nanoseconds = nanoseconds[side][samples / 2];
        cost.allocations = counted.count_total as f64 / CALLS as f64;
        cost.instructions = instructions(side == 1)?;
    }
    print(&costs);
    let more = costs[1].allocations - costs[0].allocations;
    if more > ALLOCATIONS {
        return Err(format!("{more:.2} allocations a call more, {ALLOCATIONS} are allowed").into());
    }
    let [bare, stack] = costs.map(|it| it.instructions);
    if let (Some(bare), Some(stack)) = (bare, stack)
        && stack > bare * INSTRUCTIONS
    {
        return Err(format!("{stack:.0} instructions a call, {bare:.0} without the stack").into());
    }
    Ok(())
}

/// What another thousand calls cost; none without Valgrind.
fn instructions(through_the_stack: bool) -> Result<Option<f64>, BoxError> {
    const MORE: u64 = 1_000;
    let count = |calls: u64| -> Result<Option<f64>, BoxError> {
        let valgrind = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(env::current_exe()?)
            .env(SIDE, if through_the_stack { "stack" } else { "bare" })
            .env(TIMES, calls.to_string())
            .stdin(Stdio::null())
            .output();
        let Ok(output) = valgrind else {
            return Ok(None);
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.split("Collected : ").nth(1);
        let number = collected.and_then(|it| it.split_whitespace().next()?.parse().ok());
        match number {
            Some(number) if output.status.success() => Ok(Some(number)),
            _ => Err(format!("callgrind: {}\n{said}", output.status).into()),
        }
    };
    let (Some(few), Some(many)) = (count(MORE)?, count(2 * MORE)?) else {
        return Ok(None);
    };
    Ok(Some((many - few) / MORE as f64))
}

fn print(costs: &[Cost; 2]) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header([
        "a call",
        "time",
        "allocations",
        "instructions",
    ]);
    let number = |it: Option<f64>| it.map_or_else(|| "-".to_owned(), |it| format!("{it:.0}"));
    for (name, cost) in ["bare tonic", "the stack"].into_iter().zip(costs) {
        table.add_row([
            name.to_owned(),
            format!("{:.1} us", cost.nanoseconds / 1e3),
            format!("{:.1}", cost.allocations),
            number(cost.instructions),
        ]);
    }
    let more = |of: fn(&Cost) -> f64| (of(&costs[1]) / of(&costs[0]) - 1.0) * 100.0;
    table.add_row([
        "difference".to_owned(),
        format!("{:+.1} %", more(|it| it.nanoseconds)),
        format!("{:+.1}", costs[1].allocations - costs[0].allocations),
        format!("{:+.1} %", more(|it| it.instructions.unwrap_or(f64::NAN))),
    ]);
    println!("{table}");
}
