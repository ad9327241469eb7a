use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::Shutdown;
use crate::ending::deadline;
use crate::outcome::{Ended, Outcome, Report};
use crate::phase::Phase;
use crate::shutdown_report::{Cause, PhaseReport, ShutdownReport};

/// How long is waited for what was aborted. It ends at once, unless it blocks its thread.
const HANG: Duration = Duration::from_secs(1);
const HANG_FORCED: Duration = Duration::from_millis(100);

impl Shutdown {
    /// Waits until it begins, and then goes through the phases.
    ///
    /// # Cancel safety
    /// If it is dropped, what was asked to stop in the phase that it was in stays so and is aborted in
    /// time, and no later phase begins. Run it again to go on; what has ended meanwhile is not in the
    /// report of that.
    pub async fn run(&self) -> ShutdownReport {
        let shared = &self.shared;
        shared.begun.cancelled().await;
        let cause = shared.cause.get().cloned().unwrap_or(Cause::Asked);
        tracing::info!(%cause, "shutdown begun");
        let mut report = ShutdownReport {
            cause,
            forced: false,
            phases: Vec::with_capacity(Phase::ALL.len()),
            work_overdue: 0,
            work_hung: 0,
        };
        for phase in Phase::ALL {
            self.run_phase(phase, &mut report).await;
        }
        report.forced = shared.forced.is_cancelled();
        shared.over.cancel();
        if report.is_clean() {
            tracing::info!("shutdown finished");
        } else {
            tracing::warn!(%report, "shutdown finished");
        }
        report
    }

    async fn run_phase(&self, phase: Phase, report: &mut ShutdownReport) {
        let begun = Instant::now();
        let limits = self.shared.limits.lock();
        let limit = limits.unwrap_or_else(PoisonError::into_inner)[phase as usize];
        let deadline = deadline(begun, limit);
        tracing::debug!(%phase, ?limit, "phase begun");
        if phase >= Phase::StopAccepting {
            self.shared.stopping.cancel();
        }
        let forced = &self.shared.forced;
        let mut ending = self.at(phase).end(deadline, forced);
        ending.abort_after(deadline, forced).await;
        let is_drain = phase == Phase::Drain;
        if is_drain {
            // It was under way while the tasks ended, and has until the same deadline.
            report.work_overdue = self.overdue_work(deadline).await;
        }
        let hang = if forced.is_cancelled() {
            HANG_FORCED
        } else {
            HANG
        };
        let deadline = Instant::now() + hang;
        let mut tasks = ending.report(deadline).await;
        if is_drain {
            self.add_early(&mut tasks);
        }
        if is_drain && report.work_overdue > 0 {
            report.work_hung = self.hung_work(deadline).await;
            report.work_overdue = report.work_overdue.saturating_sub(report.work_hung);
        }
        let took = begun.elapsed();
        report.phases.push(PhaseReport { phase, took, tasks });
    }

    /// How much work has not ended at the deadline, and is told so.
    async fn overdue_work(&self, deadline: Instant) -> usize {
        let work = &self.shared.work;
        work.close();
        let drained = timeout_at(deadline, work.wait());
        let drained = self.shared.forced.run_until_cancelled(drained).await;
        if matches!(drained, Some(Ok(()))) {
            return 0;
        }
        let overdue = work.len();
        self.shared.overdue.cancel();
        overdue
    }

    async fn hung_work(&self, deadline: Instant) -> usize {
        let work = &self.shared.work;
        match timeout_at(deadline, work.wait()).await {
            Ok(()) => 0,
            Err(_) => work.len(),
        }
    }

    fn add_early(&self, tasks: &mut Report) {
        let early = self.shared.early.lock();
        let names = std::mem::take(&mut *early.unwrap_or_else(PoisonError::into_inner));
        for name in names {
            // One that was ending when the drain began is in both.
            if tasks.finished.iter().any(|ended| ended.name == name) {
                continue;
            }
            // Forgotten only if very many ended after it, and it was not well that it ended.
            let outcome = self.at(Phase::Drain).last_outcome(&name);
            let outcome = outcome.unwrap_or(Outcome::Aborted);
            tasks.finished.push(Ended { name, outcome });
        }
    }

    /// How long [`run`](Self::run) takes at most, with a second to spare.
    pub(crate) fn longest(&self) -> Duration {
        let limits = self.shared.limits.lock();
        let limits = *limits.unwrap_or_else(PoisonError::into_inner);
        let longest = limits.into_iter().fold(HANG, Duration::saturating_add);
        longest.saturating_add(HANG * 6)
    }
}
