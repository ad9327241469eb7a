//! How long callers of pools wait, and whether all get the same: `cargo bench --package mainstay-benches --features
//! peers --bench pool_waits`.

fn main() {
    // In smoke mode there is nothing to hold it to.
    if !std::env::args().any(|it| it == "--quick") {
        mainstay_benches::groups::pool_waits();
    }
}
