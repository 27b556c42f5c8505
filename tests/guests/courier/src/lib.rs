//! Knows nothing of the host but `wasi:messaging` and `wasi:keyvalue`.

use std::cell::RefCell;

use exports::wasi::messaging::incoming_handler::{Error, Guest};
use wasi::keyvalue0_2_0_draft2::store;
use wasi::messaging::producer;
use wasi::messaging::request_reply::{self, RequestOptions};
use wasi::messaging::types::{Client, Message};

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "test:courier/courier", generate_all });

thread_local! {
    /// Stays open from call to call, where there is more than one.
    static CLIENT: RefCell<Option<Client>> = const { RefCell::new(None) };
}

struct Courier;

fn send(topic: &str, message: Message) -> Result<(), Error> {
    CLIENT.with_borrow_mut(|client| {
        if client.is_none() {
            *client = Some(Client::connect("any")?);
        }
        producer::send(client.as_ref().expect("connected"), topic, message)
    })
}

fn keep(line: &str) -> Result<(), Error> {
    let failed = |error: store::Error| Error::Other(format!("{error:?}"));
    let bucket = store::open("courier").map_err(failed)?;
    let mut lines = bucket.get("got").map_err(failed)?.unwrap_or_default();
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
    bucket.set("got", &lines).map_err(failed)
}

impl Guest for Courier {
    fn handle(message: Message) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message.data()).into_owned();
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["refuse"] => return Err(Error::Other("refused".into())),
            ["relay", topic] => {
                let relayed = Message::new(b"draft");
                relayed.set_data(format!("relayed for {}", message.topic().unwrap_or_default()).as_bytes());
                relayed.set_content_type("text/plain");
                relayed.set_metadata(&[("one".into(), "1".into()), ("two".into(), "2".into())]);
                relayed.add_metadata("one", "uno");
                relayed.remove_metadata("two");
                return send(topic, relayed);
            }
            ["nobody"] => {
                let Err(Error::Other(why)) = send("nobody", Message::new(b"?")) else { panic!("it went somewhere") };
                return keep(&why);
            }
            ["ask"] => {
                let client = Client::connect("any")?;
                let options = RequestOptions::new();
                options.set_timeout_ms(10);
                let asked = request_reply::request(&client, "r", &Message::new(b"?"), Some(options));
                assert!(matches!(asked, Err(Error::Other(_))));
                let answered = request_reply::reply(&message, Message::new(b"!"));
                assert!(matches!(answered, Err(Error::Other(_))));
                client.disconnect()?;
                let sent = producer::send(&client, "r", Message::new(b"too late"));
                assert!(matches!(sent, Err(Error::Connection(_))));
                return keep("nobody answers");
            }
            ["bomb"] => {
                let all: Vec<Message> = (0..200).map(|_| Message::new(&vec![0; 1 << 20])).collect();
                return keep(&all.len().to_string());
            }
            _ => {}
        }
        let metadata = message.metadata().unwrap_or_default();
        let topic = message.topic().unwrap_or_default();
        keep(&format!("{topic}|{}|{text}|{metadata:?}", message.content_type().unwrap_or_default()))
    }
}

export!(Courier);
