//! What came in from others while a run was executed: where its record is executed again it is noted, and given again to another component.
//!
//! Which handle stands for what is known to a session only. So the answers of others are not looked for in the events, but noted where they arrive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::http::{HttpFault, ResponseHead};
use reel_abi::types::StreamFault;

use crate::port::Input;

/// The number under which standard input is noted, beside those of bodies.
pub const STDIN: u32 = u32::MAX;

/// Gives again what was noted of an input, from a place on.
pub type Again = Arc<dyn Fn(u32, Arc<Heard>) -> Box<dyn Input> + Send + Sync>;

/// See the module.
#[derive(Default)]
pub struct Heard {
    noted: Mutex<Noted>,
    again: Option<Again>,
}

#[derive(Default)]
struct Noted {
    /// By the number of the body.
    inputs: BTreeMap<u32, Taken>,
    /// By the number of the request.
    answers: BTreeMap<u32, Answered>,
}

/// What was read of an input.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it ended with, if it did.
    pub end: Option<StreamFault>,
}

/// What others have answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The head, or why there is none.
    pub head: Result<ResponseHead, HttpFault>,
    /// The number of the body.
    pub body: u32,
}

impl Heard {
    /// Notes, and gives inputs of the past again.
    pub fn giving(again: Again) -> Arc<Self> {
        Arc::new(Self { again: Some(again), ..Self::default() })
    }

    /// Something was read.
    pub fn read(&self, input: u32, read: &Result<Vec<u8>, StreamFault>) {
        let mut noted = self.noted();
        let taken = noted.inputs.entry(input).or_default();
        match read {
            Ok(bytes) => taken.bytes.extend_from_slice(bytes),
            Err(fault) => taken.end = Some(fault.clone()),
        }
    }

    /// A request was answered; the answer's body has a number.
    pub fn answered(&self, request: u32, came: &Result<ResponseHead, HttpFault>, body: u32) {
        self.noted().answers.insert(request, Answered { head: came.clone(), body });
    }

    /// The input of the past that has this number.
    pub fn again(self: &Arc<Self>, input: u32) -> Option<Box<dyn Input>> {
        Some(self.again.as_ref()?(input, Arc::clone(self)))
    }

    /// What was read of an input.
    pub fn taken(&self, input: u32) -> Option<Taken> {
        self.noted().inputs.get(&input).cloned()
    }

    /// How many bytes were read of an input.
    pub fn position(&self, input: u32) -> usize {
        self.noted().inputs.get(&input).map_or(0, |taken| taken.bytes.len())
    }

    /// The answer to a request.
    pub fn answer(&self, request: u32) -> Option<Answered> {
        self.noted().answers.get(&request).cloned()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
