//! What our rows may cost.

use std::{collections::BTreeMap, error::Error, fs};

use serde::{Deserialize, Serialize};

use crate::{group::Role, report::package, results::Counts};

const FILE: &str = "budgets.toml";

const HEAD: &str = "\
# What a call of ours may cost: allocations within 1 %, the size of the response future exactly, instructions within 10 %.
# Held by `cargo xtask bench`, renewed by `cargo xtask bench --update-budgets`; the floors show that the harness itself
# has not changed.
";

/// By how much instructions may differ: other compilers and C libraries make some difference.
const TOLERANCE: f64 = 0.1;

/// By how much allocations may: tables grow now and then, which is spread over more calls or fewer.
const GROWTH: f64 = 0.01;

/// Of all groups, by the keys of their scenarios and the names of their rows.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Budgets(BTreeMap<String, BTreeMap<String, Budget>>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Budget {
    allocations: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    future: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instructions: Option<f64>,
}

/// What was found.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// What costs more than it may, or has no budget.
    pub(crate) broken: Vec<String>,
    /// What costs so much less that the budget holds nothing.
    pub(crate) loose: Vec<String>,
}

/// Others may cost what they like.
pub(crate) fn has_budget(role: Role) -> bool {
    matches!(role, Role::Floor | Role::Ours)
}

impl Budgets {
    pub(crate) fn read() -> Result<Self, Box<dyn Error>> {
        let path = package().join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        Ok(toml::from_str(&fs::read_to_string(path)?)?)
    }

    pub(crate) fn write(&self) -> Result<(), Box<dyn Error>> {
        let budgets = toml::to_string(self)?;
        fs::write(package().join(FILE), format!("{HEAD}\n{budgets}"))?;
        Ok(())
    }

    /// Replaces the budgets of a scenario. Where instructions were not counted, what was known of them is kept.
    pub(crate) fn update<'a>(
        &mut self,
        scenario: &str,
        rows: impl IntoIterator<Item = (&'a str, Counts)>,
    ) {
        let old = self.0.remove(scenario).unwrap_or_default();
        let new = rows.into_iter().filter_map(|(name, counts)| {
            let known = old.get(name).and_then(|it| it.instructions);
            let instructions = counts.instructions.map(round).or(known);
            let budget = Budget {
                allocations: round(counts.allocations?),
                future: counts.future,
                instructions,
            };
            Some((name.to_owned(), budget))
        });
        let new: BTreeMap<_, _> = new.collect();
        if !new.is_empty() {
            self.0.insert(scenario.to_owned(), new);
        }
    }

    /// Compares what the rows of a scenario cost with what they may.
    pub(crate) fn check<'a>(
        &self,
        scenario: &str,
        rows: impl IntoIterator<Item = (&'a str, Counts)>,
    ) -> Verdict {
        let mut verdict = Verdict::default();
        let mut budgets = self.0.get(scenario).cloned().unwrap_or_default();
        for (name, counts) in rows {
            match budgets.remove(name) {
                Some(budget) => budget.check(&format!("{scenario}/{name}"), counts, &mut verdict),
                None => verdict
                    .broken
                    .push(format!("{scenario}/{name} has no budget")),
            }
        }
        let left = budgets
            .keys()
            .map(|it| format!("{scenario}/{it} has a budget, and is not measured"));
        verdict.broken.extend(left);
        verdict
    }

    /// The budgets of scenarios that are gone.
    pub(crate) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.0.retain(|scenario, _| is_known(scenario));
    }
}

impl Budget {
    fn check(self, row: &str, counts: Counts, verdict: &mut Verdict) {
        let within = |part: f64, what: &str, budget: Option<f64>, found: Option<f64>| {
            let [budget, found] = [budget, Some(found?)].map(|it| it.unwrap_or(f64::NAN));
            // Not a number is within nothing.
            let is_within = (found - budget).abs() <= budget * part + f64::EPSILON;
            (!is_within).then(|| format!("{row}: {found} {what}, where {budget} are budgeted"))
        };
        let allocations = counts.allocations.map(round);
        let [future, found] = [self.future, counts.future].map(|it| it.map(|it| it as f64));
        verdict.broken.extend(within(
            GROWTH,
            "allocations",
            Some(self.allocations),
            allocations,
        ));
        verdict
            .broken
            .extend(within(0.0, "bytes of future", future, found));
        let Some(found) = counts.instructions else {
            return;
        };
        let Some(budget) = self.instructions else {
            let fault = format!("{row}: {found:.0} instructions, where none are budgeted");
            return verdict.broken.push(fault);
        };
        let difference = found / budget - 1.0;
        let report = format!("{row}: {found:.0} instructions, where {budget:.0} are budgeted");
        if difference > TOLERANCE {
            verdict.broken.push(report);
        } else if difference < -TOLERANCE {
            verdict.loose.push(report);
        }
    }
}

/// To what can be read: what is made once in many calls is no cost of a call.
fn round(count: f64) -> f64 {
    (count * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
