//! Calls from guest to guest, which are parts of the caller's transaction: what they give, and why they give nothing.

use crate::id::RunId;
use crate::limits::{CALL_DEPTH, CALLS};
use crate::types::Data;
use crate::value::{Describe, Value};
use crate::{wire_enum, wire_struct};

wire_struct! {
    /// What a call of another guest gave.
    pub struct Called {
        /// Its run.
        pub run: RunId,
        /// What the function returned, in WAVE.
        pub results: Data,
    }
}

impl Describe for Called {
    fn describe(&self) -> Value {
        Value::Record(vec![("run", self.run.describe()), ("results", self.results.describe())])
    }
}

wire_enum! {
    /// Why a call of another guest gave nothing. What it did is dropped; the transaction can go on.
    pub enum JoinFault {
        /// The guest may not be called.
        1 => NotGranted,
        /// No guest was deployed under the name.
        2 => NoSuchGuest,
        /// It has no such function.
        3 => NoSuchFunction {
            /// What it has.
            why: String,
        },
        /// The arguments do not fit.
        4 => BadArguments {
            /// Why.
            why: String,
        },
        /// The guest is the caller, or waits for what the caller calls.
        5 => Circular,
        /// More than [`CALL_DEPTH`] calls within each other.
        6 => TooDeep,
        /// More than [`CALLS`] calls in one transaction.
        7 => TooMany,
        /// It cannot be called now.
        8 => Unavailable {
            /// Why.
            why: String,
        },
        /// It trapped, aborted or reached a limit.
        9 => Failed {
            /// Its run.
            run: RunId,
            /// How it ended.
            why: String,
        },
        /// The function returned an error.
        10 => Returned {
            /// Its run.
            run: RunId,
            /// The error in WAVE; nothing if it has no value.
            error: Option<String>,
        },
    }
}

impl std::fmt::Display for JoinFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotGranted => write!(f, "the guest was not granted"),
            Self::NoSuchGuest => write!(f, "no guest was deployed under that name"),
            Self::NoSuchFunction { why } | Self::BadArguments { why } | Self::Unavailable { why } => f.write_str(why),
            Self::Circular => write!(f, "the guest waits for this call, or is the caller itself"),
            Self::TooDeep => write!(f, "more than {CALL_DEPTH} calls within each other"),
            Self::TooMany => write!(f, "more than {CALLS} calls in one transaction"),
            Self::Failed { run, why } => write!(f, "run {run}: {why}"),
            Self::Returned { run, error } => {
                write!(
                    f,
                    "run {run} returned an error{}",
                    error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
                )
            }
        }
    }
}

impl Describe for JoinFault {
    fn describe(&self) -> Value {
        Value::Text(self.to_string())
    }
}
