//! `reel:guest/messages`.

use reel_abi::bytes::Bytes;
use reel_abi::faults::MsgFault;
use reel_abi::types::Nanos;
use reel_abi::vocabulary::{MsgRoute, MsgSend};

use super::bindings::reel::guest::messages;
use super::session::Session;
use crate::gate::Halt;
use crate::txn::messages::{Letter, check_topic};

impl messages::Host for Session {
    fn send(&mut self, topic: String, message: messages::Outgoing) -> wasmtime::Result<Result<(), messages::Error>> {
        let messages::Outgoing { key, payload, headers, delay_millis } = message;
        let letter = Letter { topic, key, payload, headers, delay_millis };
        Ok(self.msg_send(letter)?.map_err(error))
    }
}

impl Session {
    /// Sends a message. Who gets it is asked once in a transaction for each topic.
    pub(super) fn msg_send(&mut self, letter: Letter) -> Result<Result<(), MsgFault>, Halt> {
        if !self.txn.messages.knows(&letter.topic) {
            let (topics, space) = (self.topics.clone(), self.txn.space().clone());
            let reply = self.gate.pass(MsgRoute { topic: letter.topic.clone() }, |_, call| {
                if let Err(fault) = check_topic(&call.topic) {
                    return Ok(Err(fault));
                }
                let topics = topics.ok_or_else(|| Halt::Host("nobody knows who has subscribed".into()))?;
                topics.receivers(&call.topic, &space).map_err(Halt::Host)
            })?;
            match reply {
                Ok(receivers) => self.txn.messages.learn(&letter.topic, receivers),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let call = MsgSend {
            topic: letter.topic.clone(),
            key: letter.key.clone().map(Bytes),
            payload: self.gate.payload(&letter.payload),
            headers: letter.headers.clone(),
            delay: Nanos(letter.delay_millis.saturating_mul(1_000_000)),
        };
        let messages = &mut self.txn.messages;
        self.gate.pass(call, |gate, _| messages.send(gate, letter))
    }
}

fn error(fault: MsgFault) -> messages::Error {
    match fault {
        MsgFault::NoSubscriber => messages::Error::NoSubscriber,
        MsgFault::BadTopic => messages::Error::BadTopic,
        MsgFault::TooLarge { .. } => messages::Error::TooLarge(fault.to_string()),
        MsgFault::Quota { .. } => messages::Error::QuotaExceeded(fault.to_string()),
        MsgFault::Full { .. } => messages::Error::Full(fault.to_string()),
    }
}
