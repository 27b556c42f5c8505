//! Messages to other guests: the interface `reel:guest/messages`.
//!
//! A message leaves with the commit of the transaction that sends it, or not at all, and its receiver takes it in a transaction of its own, once: what
//! the receiver does for it, and that it has taken it, commit together. Messages of one topic and key arrive in the order of their commits.
//!
//! To receive, a guest exports the interface `reel:guest/inbox`, or any function of one parameter, and is deployed with `--subscribe`.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::bindings::reel::guest::messages as host;

/// Why a message was not sent. The transaction is what it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// No guest has subscribed to the topic.
    NoSubscriber,
    /// A topic has a name of 1 to 255 bytes.
    BadTopic,
    /// The payload, the key or the headers are too long; which in words.
    TooLarge(String),
    /// A bound of the transaction or run is reached; which in words.
    QuotaExceeded(String),
    /// A receiver has too many messages that it has not taken; which in words.
    Full(String),
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSubscriber => f.write_str("no guest has subscribed to the topic"),
            Self::BadTopic => f.write_str("a topic has a name of 1 to 255 bytes"),
            Self::TooLarge(why) | Self::QuotaExceeded(why) | Self::Full(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::NoSubscriber => Self::NoSubscriber,
            host::Error::BadTopic => Self::BadTopic,
            host::Error::TooLarge(why) => Self::TooLarge(why),
            host::Error::QuotaExceeded(why) => Self::QuotaExceeded(why),
            host::Error::Full(why) => Self::Full(why),
        }
    }
}

/// Sends a message to all that have subscribed to the topic.
///
/// # Errors
///
/// See [`Error`]; nothing is sent then.
///
/// ```no_run
/// reel_guest::messages::send("orders", "a bicycle")?;
/// # Ok::<(), reel_guest::messages::Error>(())
/// ```
pub fn send(topic: &str, payload: impl Into<Vec<u8>>) -> Result<(), Error> {
    Message::new(payload).send(topic)
}

/// A message that is being written.
///
/// ```no_run
/// use std::time::Duration;
/// use reel_guest::Message;
///
/// Message::new("is it paid?").key("order 17").header("lang", "en").delay(Duration::from_secs(3600)).send("reminders")?;
/// # Ok::<(), reel_guest::messages::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it is not sent until `send` is called"]
pub struct Message {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    headers: Vec<(String, String)>,
    delay: Duration,
}

impl Message {
    /// A message that says this.
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Messages with the same key are delivered in the order in which they were committed, one after the other; one that fails holds back those
    /// behind it, until it is taken or a dead letter.
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Something that goes with it.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// It is not delivered before so much time has passed since the commit, and takes its place in the order of its key then.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sends it to all that have subscribed to the topic.
    ///
    /// # Errors
    ///
    /// See [`Error`]; nothing is sent then.
    pub fn send(self, topic: &str) -> Result<(), Error> {
        let Self { key, payload, headers, delay } = self;
        let delay_millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Ok(host::send(topic, &host::Outgoing { key, payload, headers, delay_millis })?)
    }
}
