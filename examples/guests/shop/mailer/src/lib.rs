//! Takes the messages of the topic `mail`, and puts each as a letter into the mailbox of its receiver, a file.
//!
//! A message says to whom in the header `to`, and about what in the header `subject`. The letter and the end of the message are one transaction: so
//! there is no list of what was sent already.

use std::fs::{OpenOptions, create_dir_all};
use std::io::Write;

use exports::reel::guest::inbox::{Guest, Message};

wit_bindgen::generate!({ path: ["../../../../wit", "wit"], world: "example:mailer/mailer" });

struct Mailer;

impl Guest for Mailer {
    fn receive(message: Message) -> Result<(), String> {
        let header =
            |name: &str| message.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let to = header("to").ok_or("a mail to nobody")?;
        if !to.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()) || to.contains('/') {
            return Err(format!("{to} is no address"));
        }
        put(to, header("subject").unwrap_or_default(), &message.payload).map_err(|error| format!("{to}: {error}"))
    }
}

fn put(to: &str, subject: &str, text: &[u8]) -> std::io::Result<()> {
    create_dir_all("/mail")?;
    let mut mailbox = OpenOptions::new().create(true).append(true).open(format!("/mail/{to}"))?;
    writeln!(mailbox, "Subject: {subject}\n")?;
    mailbox.write_all(text)?;
    writeln!(mailbox)
}

export!(Mailer);
