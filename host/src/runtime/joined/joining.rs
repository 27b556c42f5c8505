//! One proposal of all that a transaction did.

use std::collections::BTreeMap;

use reel_abi::id::{SpaceName, WallTime};
use reel_abi::outcome::Outcome;
use reel_abi::record::{Cell, CellValue, family};
use reel_store::{Counter, Elsewhere, JoinedRun, Part, Proposal};

use super::caller::gone;
use super::joint::Joint;
use crate::gate::Halt;

impl Joint {
    /// Adds what was done in other spaces to what the caller proposes.
    pub(in crate::runtime) fn join(&self, mut proposal: Proposal, at: WallTime) -> Result<Proposal, Halt> {
        let mut state = self.state();
        if state.gone {
            return Err(gone());
        }
        if state.members.is_empty() {
            return Ok(proposal);
        }
        let mut sent: BTreeMap<SpaceName, u32> = BTreeMap::new();
        let own = (&proposal.space, &proposal.cells);
        for (space, cells) in
            std::iter::once(own).chain(proposal.others.iter().map(|other| (&other.space, &other.cells)))
        {
            let letters = cells.iter().filter(|cell| is_sent(cell)).count();
            sent.insert(space.clone(), u32::try_from(letters).unwrap_or(u32::MAX));
        }
        let mut others = std::mem::take(&mut proposal.others);
        for (space, member) in &mut state.members {
            let txn = member.txn.as_mut().ok_or_else(|| Halt::Host(format!("what was done in {space} is gone")))?;
            let made = txn.propose_after(at, &mut sent)?;
            let Proposal { space, base, reads, cells, counters, outbox, others: more, .. } = made;
            proposal.joined.parts.push(Part { space, base, reads, cells, counters });
            proposal.outbox.extend(outbox);
            others.extend(more);
        }
        for other in others {
            add(&mut proposal, other);
        }
        Ok(proposal)
    }

    /// Asks whether what was read in several spaces was there at one moment, for a run that has failed by itself: else it may have failed for that.
    pub(in crate::runtime) fn ask(&self, proposal: Proposal, at: WallTime) -> Result<Option<Proposal>, Halt> {
        if self.state().members.is_empty() {
            return Ok(None);
        }
        let mut asked = self.join(proposal, at)?;
        asked.joined.only_asks = true;
        Ok(Some(asked))
    }

    /// The runs that end with the transaction. `outcome` is that of the caller, if it has one: then nothing is under way any more.
    pub(in crate::runtime) fn runs(&self, at: WallTime, outcome: Option<&Outcome>) -> Result<Vec<JoinedRun>, Halt> {
        let mut state = self.state();
        if let (Some(outcome), Some(guests)) = (outcome, self.guests()) {
            state.end_cut(&guests.store, at, outcome)?;
        }
        let place = |space: &SpaceName| state.members.keys().position(|member| member == space);
        let runs = state.lost.iter().chain(&state.over).map(|over| JoinedRun {
            run: over.run,
            begun: over.remainder.begun.clone(),
            frames: over.remainder.frames.clone(),
            ending: over.ending.clone(),
            part: over.stands.as_ref().and_then(place),
        });
        Ok(runs.collect())
    }
}

/// Whether a cell is a message that is sent.
fn is_sent(cell: &Cell) -> bool {
    cell.family == family::QUEUE && cell.value != CellValue::Tombstone
}

/// Adds what is written blindly in a space to what is written there otherwise.
fn add(proposal: &mut Proposal, other: Elsewhere) {
    let Elsewhere { space, cells, counters } = other;
    let known: (&mut Vec<Cell>, &mut Vec<Counter>) = if space == proposal.space {
        (&mut proposal.cells, &mut proposal.counters)
    } else if let Some(part) = proposal.joined.parts.iter_mut().find(|part| part.space == space) {
        (&mut part.cells, &mut part.counters)
    } else if let Some(other) = proposal.others.iter_mut().find(|other| other.space == space) {
        (&mut other.cells, &mut other.counters)
    } else {
        return proposal.others.push(Elsewhere { space, cells, counters });
    };
    known.0.extend(cells);
    known.0.sort_unstable_by(|a, b| (a.family, &a.key).cmp(&(b.family, &b.key)));
    known.1.extend(counters);
}
