/// What was measured of our side and of Go's, by turns.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    go: Vec<f64>,
}

impl Pairs {
    pub(crate) fn push(&mut self, ours: f64, go: f64) {
        self.ours.push(ours);
        self.go.push(go);
    }

    pub(crate) fn ours(&self) -> f64 {
        median(&self.ours)
    }

    pub(crate) fn go(&self) -> f64 {
        median(&self.go)
    }

    /// Ours over Go's: that of the medians, and within what those of the single pairs lie.
    pub(crate) fn ratio(&self) -> String {
        let ratios = self.ours.iter().zip(&self.go).map(|(ours, go)| ours / go);
        let (least, most) = ratios.fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| {
            (least.min(ratio), most.max(ratio))
        });
        let ratio = self.ours() / self.go();
        format!("{ratio:.2} ({least:.2} to {most:.2})")
    }
}

/// The value in the middle, or the mean of the two; NaN of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => f64::NAN,
        Some(&upper) if values.len() % 2 == 1 => upper,
        Some(upper) => f64::midpoint(values[middle - 1], *upper),
    }
}
