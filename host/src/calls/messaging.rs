//! `wasi:messaging`: the standard's way to the messages of `reel:guest/messages`.
//!
//! A message leaves with the commit of its transaction, so nobody can answer it within: request and reply are refused in words.

use reel_abi::faults::MsgFault;
use reel_abi::message::{Message, MsgPart};
use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{MsgConnect, MsgDisconnect, MsgGet, MsgMake, MsgSet, NetRefused};
use reel_abi::wire::Wire;
use wasmtime::component::Resource;

use super::bindings::wasi::messaging::{producer, request_reply, types};
use super::handles::{number, own};
use super::refused::Refused;
use super::session::Session;
use crate::gate::Halt;
use crate::txn::messages::Letter;

/// Bytes that all messages of one call may be made of; stops exhaustion of host memory by many of them that are not sent.
const ALL_BYTES: usize = 64 << 20;

/// The header that has the type of the content.
const CONTENT_TYPE: &str = "content-type";

type Pairs = Vec<(String, String)>;

/// A connection to the exchange of messages.
#[derive(Debug, Clone)]
pub struct Client {
    /// Whether it was not ended.
    pub connected: bool,
}

/// A message in a guest's hands. It is empty after the call in which it was made.
#[derive(Debug, Clone, Default)]
pub struct Post {
    topic: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    metadata: Option<Pairs>,
}

impl Post {
    /// A message that has come.
    pub fn arrived(message: Message) -> Self {
        let (types, rest): (Pairs, Pairs) =
            message.headers.into_iter().partition(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        Self {
            topic: Some(message.topic),
            content_type: types.into_iter().next().map(|(_, value)| value),
            data: message.payload.0,
            metadata: (!rest.is_empty()).then_some(rest),
        }
    }

    fn part(&self, part: MsgPart) -> Vec<u8> {
        match part {
            MsgPart::Topic => self.topic.to_bytes(),
            MsgPart::ContentType => self.content_type.to_bytes(),
            MsgPart::Data => self.data.clone(),
            MsgPart::Metadata => self.metadata.to_bytes(),
        }
    }

    fn letter(self, topic: String) -> Letter {
        let content_type = self.content_type.map(|value| (CONTENT_TYPE.to_owned(), value));
        let headers = content_type.into_iter().chain(self.metadata.into_iter().flatten()).collect();
        Letter { topic, key: None, payload: self.data, headers, delay_millis: 0 }
    }
}

impl Session {
    fn msg_get<T>(
        &mut self,
        message: &Resource<Post>,
        part: MsgPart,
        value: impl FnOnce(&Post) -> T,
    ) -> wasmtime::Result<T> {
        let handles = &self.handles;
        let call = MsgGet { message: number(message), part };
        self.gate.pass(call, |gate, _| Ok(gate.payload(&handles.get(message)?.part(part))))?;
        Ok(value(self.handles.get(message)?))
    }

    fn msg_set(
        &mut self,
        message: &Resource<Post>,
        part: MsgPart,
        bytes: &[u8],
        change: impl FnOnce(&mut Post),
    ) -> wasmtime::Result<()> {
        self.count_posted(bytes.len())?;
        let call = MsgSet { message: number(message), part, value: self.gate.payload(bytes) };
        let handles = &mut self.handles;
        Ok(self.gate.pass(call, |_, _| handles.get_mut(message).map(change))?)
    }

    fn count_posted(&mut self, bytes: usize) -> Result<(), Halt> {
        self.posted_bytes = self.posted_bytes.saturating_add(bytes);
        match self.posted_bytes > ALL_BYTES {
            true => Err(Halt::Trap(format!("messages of more than {ALL_BYTES} bytes in one call"))),
            false => Ok(()),
        }
    }

    /// A message that has come, as the guest has it.
    pub fn post(&mut self, message: Message) -> Result<Resource<Post>, Halt> {
        Ok(own(self.handles.push(Post::arrived(message))?))
    }

    fn no_replies(&mut self, function: &str) -> wasmtime::Result<types::Error> {
        let interface = "wasi:messaging/request-reply@0.2.0-draft".to_owned();
        self.gate.pass(NetRefused { interface, function: function.to_owned() }, |_, _| Ok(()))?;
        let why = "a message leaves with the commit of the transaction that sends it, so there is no reply within; send to a topic, and take the reply \
                   as a message";
        Ok(types::Error::Other(why.to_owned()))
    }
}

impl types::Host for Session {}

impl types::HostClient for Session {
    fn connect(&mut self, name: String) -> wasmtime::Result<Result<Resource<Client>, types::Error>> {
        if name.len() > 255 {
            return Err(Halt::Trap("the name of an exchange has more than 255 bytes".into()).into());
        }
        let handles = &mut self.handles;
        let client = self.gate.pass(MsgConnect { name }, |_, _| handles.push(Client { connected: true }))?;
        Ok(Ok(own(client)))
    }

    fn disconnect(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<(), types::Error>> {
        let handles = &mut self.handles;
        let call = MsgDisconnect { client: number(&client) };
        self.gate.pass(call, |_, _| handles.get_mut(&client).map(|client| client.connected = false))?;
        Ok(Ok(()))
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Client, &client)
    }
}

impl types::HostMessage for Session {
    fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<Post>> {
        self.count_posted(data.len())?;
        let call = MsgMake { data: self.gate.payload(&data) };
        let handles = &mut self.handles;
        Ok(own(self.gate.pass(call, |_, _| handles.push(Post { data, ..Post::default() }))?))
    }

    fn topic(&mut self, message: Resource<Post>) -> wasmtime::Result<Option<String>> {
        self.msg_get(&message, MsgPart::Topic, |post| post.topic.clone())
    }

    fn content_type(&mut self, message: Resource<Post>) -> wasmtime::Result<Option<String>> {
        self.msg_get(&message, MsgPart::ContentType, |post| post.content_type.clone())
    }

    fn set_content_type(&mut self, message: Resource<Post>, content_type: String) -> wasmtime::Result<()> {
        let bytes = Some(content_type.clone()).to_bytes();
        self.msg_set(&message, MsgPart::ContentType, &bytes, |post| post.content_type = Some(content_type))
    }

    fn data(&mut self, message: Resource<Post>) -> wasmtime::Result<Vec<u8>> {
        self.msg_get(&message, MsgPart::Data, |post| post.data.clone())
    }

    fn set_data(&mut self, message: Resource<Post>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.msg_set(&message, MsgPart::Data, &data.clone(), |post| post.data = data)
    }

    fn metadata(&mut self, message: Resource<Post>) -> wasmtime::Result<Option<Pairs>> {
        self.msg_get(&message, MsgPart::Metadata, |post| post.metadata.clone())
    }

    fn add_metadata(&mut self, message: Resource<Post>, key: String, value: String) -> wasmtime::Result<()> {
        let mut pairs = self.handles.get(&message)?.metadata.clone().unwrap_or_default();
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some(pair) => pair.1 = value,
            None => pairs.push((key, value)),
        }
        self.set_metadata(message, pairs)
    }

    fn set_metadata(&mut self, message: Resource<Post>, pairs: Pairs) -> wasmtime::Result<()> {
        let pairs = Some(pairs);
        self.msg_set(&message, MsgPart::Metadata, &pairs.to_bytes(), |post| post.metadata.clone_from(&pairs))
    }

    fn remove_metadata(&mut self, message: Resource<Post>, key: String) -> wasmtime::Result<()> {
        let mut pairs = self.handles.get(&message)?.metadata.clone().unwrap_or_default();
        pairs.retain(|(known, _)| *known != key);
        self.set_metadata(message, pairs)
    }

    fn drop(&mut self, message: Resource<Post>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Message, &message)
    }
}

impl producer::Host for Session {
    fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<Post>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        let post = self.handles.remove::<Post>(number(&message))?;
        if !self.handles.get(&client)?.connected {
            let interface = "wasi:messaging/producer@0.2.0-draft".to_owned();
            self.gate.pass(NetRefused { interface, function: "send".to_owned() }, |_, _| Ok(()))?;
            return Ok(Err(types::Error::Connection("it was ended by disconnect".to_owned())));
        }
        Ok(self.msg_send(post.letter(topic))?.map_err(error))
    }
}

impl request_reply::Host for Session {
    fn request(
        &mut self,
        _: Resource<Client>,
        _: String,
        _: Resource<Post>,
        options: Option<Resource<Refused>>,
    ) -> wasmtime::Result<Result<Vec<Resource<Post>>, types::Error>> {
        if let Some(options) = options {
            self.handles.remove::<Refused>(number(&options))?;
        }
        Ok(Err(self.no_replies("request")?))
    }

    fn reply(&mut self, _: Resource<Post>, message: Resource<Post>) -> wasmtime::Result<Result<(), types::Error>> {
        self.handles.remove::<Post>(number(&message))?;
        Ok(Err(self.no_replies("reply")?))
    }
}

impl request_reply::HostRequestOptions for Session {
    fn new(&mut self) -> wasmtime::Result<Resource<Refused>> {
        self.no_replies("request-options")?;
        Ok(own(self.handles.push(Refused)?))
    }

    fn set_timeout_ms(&mut self, _: Resource<Refused>, _: u32) -> wasmtime::Result<()> {
        self.no_replies("set-timeout-ms").map(drop)
    }

    fn set_expected_replies(&mut self, _: Resource<Refused>, _: u32) -> wasmtime::Result<()> {
        self.no_replies("set-expected-replies").map(drop)
    }

    fn drop(&mut self, options: Resource<Refused>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Refused, &options)
    }
}

fn error(fault: MsgFault) -> types::Error {
    types::Error::Other(fault.to_string())
}
