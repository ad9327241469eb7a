//! How large batches are under a load that goes on, and how long callers wait: `cargo bench --package mainstay-benches
//! --features peers --bench batch_steady`.

fn main() {
    // In smoke mode there is nothing to hold it to.
    if !std::env::args().any(|it| it == "--quick") {
        mainstay_benches::groups::batch_steady();
    }
}
