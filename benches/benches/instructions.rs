//! Counts instructions, under callgrind.

#![expect(missing_docs, reason = "of what the macros make")]

use gungraun::prelude::*;
use mainstay_benches::counts::{self, Warm};

#[library_benchmark]
#[benches::row(iter = counts::instruction_rows(), setup = Warm::up)]
fn calls(caller: Warm) -> Warm {
    caller.run()
}

library_benchmark_group!(name = rows, benchmarks = calls);

main!(
    config = LibraryBenchmarkConfig::default().pass_through_env(counts::GROUP),
    library_benchmark_groups = rows
);
