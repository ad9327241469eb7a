//! Counts allocations.

use std::error::Error;

use mainstay_benches::counts::{self, Allocated};

fn main() -> Result<(), Box<dyn Error>> {
    counts::allocations(|work| {
        let counted = allocation_counter::measure(work);
        Allocated {
            count: counted.count_total as f64,
            bytes: counted.bytes_total as f64,
            held: counted.bytes_current as f64,
        }
    })
}
