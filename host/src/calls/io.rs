//! `wasi:io/error`.

use reel_abi::types::{Resource as Kind, StreamFault};
use reel_abi::vocabulary::ErrorText as ErrorTextCall;
use wasmtime::component::Resource;

use super::bindings::wasi::io::{error, streams};
use super::handles::{number, own};
use super::session::{ErrorText, Session, StreamError};

impl error::Host for Session {}

impl error::HostError for Session {
    fn to_debug_string(&mut self, error: Resource<ErrorText>) -> wasmtime::Result<String> {
        let word = match self.handles.get(&error)? {
            ErrorText::File(code) => code.word(),
            ErrorText::Network(code) => code.word(),
        };
        let call = ErrorTextCall { error: number(&error) };
        Ok(self.gate.pass(call, |_, _| Ok(word.to_owned()))?)
    }

    fn drop(&mut self, error: Resource<ErrorText>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Error, &error)
    }
}

impl streams::Host for Session {
    /// A failure becomes a resource that the guest can ask for words; the reply with its code is in the event already.
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        match error {
            StreamError::Fault(StreamFault::Closed) => Ok(streams::StreamError::Closed),
            StreamError::Fault(StreamFault::Failed { code }) => {
                let handle = self.handles.push(ErrorText::File(code))?;
                Ok(streams::StreamError::LastOperationFailed(own(handle)))
            }
            StreamError::Fault(StreamFault::Network { code }) => {
                let handle = self.handles.push(ErrorText::Network(code))?;
                Ok(streams::StreamError::LastOperationFailed(own(handle)))
            }
            StreamError::Halt(halt) => Err(halt.into()),
        }
    }
}
