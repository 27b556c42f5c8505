//! How an answer reaches who asked: a thread that waits is woken, or a callback is called.
//!
//! Every question is answered, whatever happens to the committer; unless who asked takes it back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use crate::chain::Head;
use crate::error::AppendError;
use crate::submission::Receipt;

/// What is said to who asked.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Receipt(Receipt),
    /// Where a space stands now.
    Head(Head),
    Done,
    /// It was decided on what is not so any more.
    Again,
}

impl Answer {
    /// The receipt that an append is answered with.
    pub(crate) fn receipt(self) -> Result<Receipt, AppendError> {
        match self {
            Self::Receipt(receipt) => Ok(receipt),
            Self::Head(_) | Self::Done | Self::Again => Err(AppendError::Invalid("no submission was written")),
        }
    }

    /// The head that a fork or rollback is answered with.
    pub(crate) fn head(self) -> Result<Head, AppendError> {
        match self {
            Self::Head(head) => Ok(head),
            Self::Receipt(_) | Self::Done | Self::Again => Err(AppendError::Invalid("no segment was opened")),
        }
    }
}

pub(crate) type Answered = Result<Answer, AppendError>;

/// The way back to who asked.
pub(crate) struct Reply(Option<Way>);

enum Way {
    Wake(Thread, Arc<OnceLock<Answered>>),
    Call(Box<dyn FnOnce(Answered) + Send>),
}

/// Where a thread waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<OnceLock<Answered>>);

impl Reply {
    /// Wakes this thread, which has to wait at the other half.
    pub(crate) fn wake() -> (Self, Waiting) {
        let answered = Arc::new(OnceLock::new());
        (Self(Some(Way::Wake(std::thread::current(), answered.clone()))), Waiting(answered))
    }

    /// Calls `f` on the committer's thread.
    pub(crate) fn call(f: impl FnOnce(Answered) + Send + 'static) -> Self {
        Self(Some(Way::Call(Box::new(f))))
    }

    /// Answers.
    pub(crate) fn send(mut self, answered: Answered) {
        self.answer(answered);
    }

    /// Never answers.
    pub(crate) fn cancel(mut self) {
        self.0 = None;
    }

    fn answer(&mut self, answered: Answered) {
        match self.0.take() {
            None => {}
            Some(Way::Wake(thread, slot)) => {
                let _ = slot.set(answered);
                thread.unpark();
            }
            Some(Way::Call(f)) => {
                let called = catch_unwind(AssertUnwindSafe(|| f(answered)));
                called.unwrap_or_else(|_| tracing::error!("what was to be done after a commit panicked"));
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.answer(Err(AppendError::Refused("the committer ended".into())));
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

impl Waiting {
    /// Waits for the answer.
    pub(crate) fn wait(self) -> Answered {
        loop {
            if let Some(answered) = self.0.get() {
                return answered.clone();
            }
            std::thread::park();
        }
    }
}
