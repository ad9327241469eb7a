//! Our own rows: `Row::service("mainstay, consecutive", Role::Ours, || layer.layer(Backend::<ONE_IN>))`, and so on for
//! each rule, named as the peers' rows are.

use crate::group::Row;

/// Closed circuits over `Backend<ONE_IN>`, which none of their rules may open.
pub(super) fn closed<const ONE_IN: u64>() -> Vec<Row> {
    Vec::new()
}

/// Circuits over `Backend<1>` that are open for an hour: `trip` opens them, and sees that they are.
pub(super) fn open() -> Vec<Row> {
    Vec::new()
}
