//! The breakers together: which calls may leave, and what holds sending. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::alert::{BreakerReport, Upstream};

use super::breaker::{Breaker, Heard, Pass};

/// The breakers of all that dispatch asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstreams {
    quarantine: Breaker,
    machine_actions: Breaker,
    token: Breaker,
}

/// What lets one call through: it needs a token first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// To the token endpoint.
    pub token: Pass,
    /// To Defender.
    pub call: Pass,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            quarantine: Breaker::new(Upstream::Quarantine),
            machine_actions: Breaker::new(Upstream::MachineActions),
            token: Breaker::new(Upstream::Token),
        }
    }
}

impl Upstreams {
    /// Lets a quarantine call through, or says when to come back.
    ///
    /// A list that refuses us holds sending too: the same roles are needed there, and what cannot be looked for could
    /// not be settled. If nothing is to be looked up when its time comes, the call itself finds out.
    pub fn to_send(&mut self, now: Timestamp) -> Result<Passes, Timestamp> {
        if self.machine_actions.is_refused() {
            self.machine_actions.ask(now)?;
        }
        Self::through(&mut self.quarantine, &mut self.token, now)
    }

    /// Lets a read of machine actions through, or says when to come back.
    pub fn to_look(&mut self, now: Timestamp) -> Result<Passes, Timestamp> {
        Self::through(&mut self.machine_actions, &mut self.token, now)
    }

    fn through(breaker: &mut Breaker, token: &mut Breaker, now: Timestamp) -> Result<Passes, Timestamp> {
        let passes = Passes { token: token.ask(now)?, call: breaker.ask(now)? };
        token.begin(passes.token);
        breaker.begin(passes.call);
        Ok(passes)
    }

    /// Draws the conclusion from a call.
    pub fn hear(&mut self, upstream: Upstream, pass: Pass, heard: Heard, now: Timestamp) {
        self.breaker_mut(upstream).hear(pass, heard, now);
    }

    /// The time of day was set back by so much.
    pub fn set_back(&mut self, by: SignedDuration) {
        for upstream in Upstream::ALL {
            self.breaker_mut(upstream).set_back(by);
        }
    }

    /// Says whether no quarantine call leaves.
    pub fn hold_sending(&self) -> bool {
        let is_closed = |breaker: &Breaker| breaker.report().open.is_none();
        !is_closed(&self.quarantine) || !is_closed(&self.token) || self.machine_actions.is_refused()
    }

    /// Tells how one stands.
    pub fn report(&self, upstream: Upstream) -> BreakerReport {
        match upstream {
            Upstream::Quarantine => self.quarantine.report(),
            Upstream::MachineActions => self.machine_actions.report(),
            Upstream::Token => self.token.report(),
        }
    }

    /// Tells how all stand.
    pub fn reports(&self) -> Vec<BreakerReport> {
        Upstream::ALL.map(|upstream| self.report(upstream)).into()
    }

    fn breaker_mut(&mut self, upstream: Upstream) -> &mut Breaker {
        match upstream {
            Upstream::Quarantine => &mut self.quarantine,
            Upstream::MachineActions => &mut self.machine_actions,
            Upstream::Token => &mut self.token,
        }
    }
}
