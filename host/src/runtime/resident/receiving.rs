//! Functions that take a message: what they may be like, and what they are given.

use reel_abi::id::WallTime;
use reel_abi::message::{Message, MessageId, Place};
use reel_abi::resident::Subscription;
use wasmtime::Engine;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::wasm_wave::wasm::DisplayType;
use wasmtime::component::{Component, Type, Val};

use super::deploying::DeployRequest;
use super::function::{self, FunctionError, FunctionName};

/// The function that takes messages if none is named.
pub const RECEIVE: &str = "reel:guest/inbox@0.1.0#receive";

/// The standard's.
const STANDARD: &str = "wasi:messaging/incoming-handler";

/// Whether a function is the standard's, which takes a message as a resource.
pub(in crate::runtime) fn is_standard(name: &FunctionName) -> bool {
    let interface = name.interface.as_deref().and_then(|interface| interface.split_once('@'));
    interface == Some((STANDARD, "0.2.0-draft")) && name.function == "handle"
}

/// The id of a message that lies in a place.
pub fn id(place: Place, message: &Message) -> MessageId {
    message.id.unwrap_or(place.id())
}

/// The subscriptions that a guest is to have.
pub fn subscribed(
    request: &DeployRequest,
    engine: &Engine,
    component: &Component,
) -> Result<Vec<Subscription>, FunctionError> {
    let subscribed = request.subscriptions.iter().map(|wanted| {
        let function = receiver(engine, component, wanted.function.as_deref())?;
        Ok(Subscription { topic: wanted.topic.clone(), function, attempts: wanted.attempts })
    });
    subscribed.collect()
}

/// The exact name of the function that takes the messages of a topic.
pub fn receiver(engine: &Engine, component: &Component, name: Option<&str>) -> Result<String, FunctionError> {
    let wanted = name.unwrap_or(RECEIVE);
    let found = match function::find(engine, component, wanted) {
        Err(_) if name.is_none() => function::find(engine, component, &format!("{STANDARD}#handle"))
            .or_else(|_| function::find(engine, component, wanted)),
        found => found,
    };
    let (name, ty) = found?;
    if is_standard(&name) {
        return Ok(name.to_string());
    }
    let signature = function::signature(&ty);
    let refuse = |why: &str| FunctionError::Arguments {
        function: name.to_string(),
        signature: signature.clone(),
        why: why.into(),
    };
    let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    let [param] = params.as_slice() else {
        return Err(refuse("a function that takes messages has one parameter"));
    };
    let sample = Message {
        topic: String::new(),
        key: None,
        payload: Vec::new().into(),
        headers: Vec::new(),
        sender: SAMPLE.parse().map_err(|_| refuse("no sample of a message can be made"))?,
        run: Default::default(),
        sent: WallTime(0),
        due: WallTime(0),
        attempts: 0,
        error: None,
        id: None,
        trace: None,
    };
    let place = Place::Ready(MessageId { commit: Default::default(), index: 0 });
    match argument(param, place, &sample) {
        Ok(_) => Ok(name.to_string()),
        Err(why) => Err(refuse(&why)),
    }
}

/// A name that any space can have.
const SAMPLE: &str = "sample";

/// What the function of a message is given.
pub(in crate::runtime) fn arguments(ty: &ComponentFunc, place: Place, message: &Message) -> Result<Vec<Val>, String> {
    ty.params().map(|(_, ty)| argument(&ty, place, message)).collect()
}

fn argument(ty: &Type, place: Place, message: &Message) -> Result<Val, String> {
    match ty {
        Type::String => match std::str::from_utf8(&message.payload) {
            Ok(text) => Ok(Val::String(text.to_owned())),
            Err(_) => Err("the payload is no UTF-8 text, which the function takes".to_owned()),
        },
        Type::List(list) if list.ty() == Type::U8 => Ok(bytes(&message.payload)),
        Type::Record(record) => {
            let field = |name: &str, ty: &Type| field(name, ty, place, message);
            let fields = record.fields().map(|of| Ok((of.name.to_owned(), field(of.name, &of.ty)?)));
            fields.collect::<Result<_, String>>().map(Val::Record)
        }
        other => Err(format!("it takes {}, which no message is: a string, list<u8> or record is", DisplayType(other))),
    }
}

/// A field of the record `message` in `reel:guest/inbox`, of which another record may have a part.
fn field(name: &str, ty: &Type, place: Place, message: &Message) -> Result<Val, String> {
    let option = |value: Option<Val>| Val::Option(value.map(Box::new));
    let pair =
        |(name, value): &(String, String)| Val::Tuple(vec![Val::String(name.clone()), Val::String(value.clone())]);
    let (value, wanted) = match name {
        "id" => (Val::String(id(place, message).to_string()), "string"),
        "topic" => (Val::String(message.topic.clone()), "string"),
        "key" => (option(message.key.as_ref().map(|key| bytes(key))), "option<list<u8>>"),
        "payload" => (bytes(&message.payload), "list<u8>"),
        "headers" => (Val::List(message.headers.iter().map(pair).collect()), "list<tuple<string, string>>"),
        "sender" => (Val::String(message.sender.to_string()), "string"),
        "sent-millis" => (Val::U64(message.sent.0 / 1_000_000), "u64"),
        "attempt" => (Val::U32(message.attempts.saturating_add(1)), "u32"),
        _ => return Err(format!("a message has no field {name}")),
    };
    match DisplayType(ty).to_string() {
        same if same == wanted => Ok(value),
        other => Err(format!("the field {name} of a message is {wanted}, not {other}")),
    }
}

fn bytes(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().copied().map(Val::U8).collect())
}

/// Why the function did not take the message, if that is what it gave.
pub(in crate::runtime) fn refusal(values: &[Val]) -> Option<String> {
    let Some(Val::Result(Err(why))) = values.first() else { return None };
    Some(match why.as_deref() {
        Some(Val::String(text)) => text.clone(),
        Some(other) => function::results(std::slice::from_ref(other)).unwrap_or_default(),
        None => "it did not take the message".to_owned(),
    })
}
