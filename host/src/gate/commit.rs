//! Commits on the way of a run: what was recorded and what was written become durable in one row.

use reel_abi::faults::{Base, TxnFault};
use reel_abi::vocabulary::TxnCommit;
use reel_store::Proposal;

use super::halt::Halt;
use super::passage::{Gate, Mode};
use super::recorder::RawFrame;
use crate::port::Waiting;

/// Where a live run commits on its way.
pub trait CommitPoint: Send {
    /// Appends all frames so far, this one last, together with the proposal. `false` if the proposal was overtaken: then nothing was appended.
    fn commit(&mut self, frame: RawFrame, proposal: Proposal) -> Waiting<'_, Result<bool, Halt>>;
    /// Where the space stands now.
    fn newest(&mut self) -> Result<Base, Halt>;
}

impl Gate {
    /// Lets a commit through. Its event says that it succeeded before that is known, in a row that is only written if it does: so no crash can
    /// come between the two.
    pub async fn pass_commit<'a>(
        &mut self,
        propose: impl FnOnce() -> Result<(&'a mut dyn CommitPoint, Proposal), Halt>,
    ) -> Result<Result<(), TxnFault>, Halt> {
        let call = TxnCommit {};
        if let Some(reply) = self.ask(&call)? {
            return Ok(reply);
        }
        let (point, proposal) = propose()?;
        let now = self.wall().0;
        let Mode::Live(recorder) = &mut self.mode else {
            return Err(Halt::Host("a replay wanted to commit".into()));
        };
        let frame = recorder.alone(&call, &Ok(()), now)?;
        let length = frame.bytes.len();
        if point.commit(frame, proposal).await? {
            recorder.advance();
            self.count(length)?;
            return Ok(Ok(()));
        }
        let reply = Err(TxnFault::Conflict);
        self.settle(&call, &reply)?;
        Ok(reply)
    }
}
