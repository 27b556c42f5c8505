//! The first place where a replay does not do what the log says: data, not text.

use reel_abi::id::Seq;
use reel_abi::vocabulary::EventView;

/// What was found at the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// Place of the event in the run.
    pub seq: Seq,
    /// What the log has there; nothing if the log had ended.
    pub expected: Option<EventView>,
    /// What the guest asked (and, for calls that were executed again, what it got).
    pub actual: EventView,
    /// Whether the request was the same and only the reply differs.
    pub same_request: bool,
    /// Set when the log's bytes cannot be read at this place.
    pub unreadable: Option<String>,
}

/// A mismatch with what surrounds it in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Divergence {
    /// The place.
    pub mismatch: Mismatch,
    /// Up to five events before, from the log.
    pub before: Vec<(Seq, EventView)>,
    /// Up to five events after, from the log.
    pub after: Vec<(Seq, EventView)>,
    /// The likely cause.
    pub hint: Hint,
}

/// The likely cause of a divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The replay was asked to use another component.
    OtherComponent,
    /// The log was written under another engine or other settings.
    OtherEngine,
    /// Component and engine are the same: the log, or the state it refers to, was changed, or Reel has a defect.
    ChangedLog,
}

impl Hint {
    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::OtherComponent => {
                "another component was given than the one that was recorded: this is where they differ"
            }
            Self::OtherEngine => "the run was recorded under another engine or other engine settings",
            Self::ChangedLog => {
                "component and engine are the recorded ones, so the log or the state under it was changed; run `reel verify`"
            }
        }
    }
}
