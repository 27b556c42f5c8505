//! What goes wrong in a file operation: one type, two roads.

use reel_abi::types::FsCode;

use crate::gate::Halt;

/// Either the guest is told, or it is stopped.
#[derive(Debug)]
pub enum Fault {
    /// The guest sees this code and goes on.
    Code(FsCode),
    /// The guest is stopped.
    Halt(Halt),
}

impl From<FsCode> for Fault {
    fn from(code: FsCode) -> Self {
        Self::Code(code)
    }
}

impl From<Halt> for Fault {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

/// Result of a file operation.
pub type FileResult<T> = Result<T, Fault>;

/// Splits the roads: the inner result is the guest's, the outer the run's.
pub fn split<T>(result: FileResult<T>) -> Result<Result<T, FsCode>, Halt> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Code(code)) => Ok(Err(code)),
        Err(Fault::Halt(halt)) => Err(halt),
    }
}
