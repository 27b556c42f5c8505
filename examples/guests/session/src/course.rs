//! How a lesson goes: which card is asked, which ones come again, and when.

use std::collections::VecDeque;
use std::fmt;

use crate::draw::Draw;

/// A card that was answered wrong comes again after so many others.
const AGAIN_AFTER: usize = 2;

/// A multiplication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    a: u64,
    b: u64,
}

impl Card {
    /// What is right.
    pub fn product(&self) -> i64 {
        (self.a * self.b) as i64
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.a, self.b)
    }
}

/// Where a lesson stands. A copy of it is all that is needed to come back here.
#[derive(Debug, Clone)]
pub struct Course {
    draw: Draw,
    /// The card that is asked.
    pub card: Card,
    /// Which question it is, from 1.
    pub number: u32,
    /// Cards that come again, each after so many others.
    pub again: VecDeque<(usize, Card)>,
    /// Answers so far.
    pub answered: u32,
    /// Right ones among them.
    pub right: u32,
}

impl Course {
    /// The first question.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::seeded(seed);
        let card = fresh(&mut draw);
        Self { draw, card, number: 1, again: VecDeque::new(), answered: 0, right: 0 }
    }

    /// Takes an answer, and goes on to the next question.
    pub fn answer(&mut self, value: i64) -> bool {
        let right = value == self.card.product();
        self.answered += 1;
        self.right += u32::from(right);
        if !right {
            self.again.push_back((AGAIN_AFTER, self.card.clone()));
        }
        self.go_on();
        right
    }

    fn go_on(&mut self) {
        self.number += 1;
        self.card = match self.again.pop_front_if(|(after, _)| *after == 0) {
            Some((_, card)) => card,
            None => {
                self.again.iter_mut().for_each(|(after, _)| *after = after.saturating_sub(1));
                fresh(&mut self.draw)
            }
        };
    }
}

fn fresh(draw: &mut Draw) -> Card {
    Card { a: draw.between(3, 12), b: draw.between(3, 19) }
}
