//! A lesson that lives in memory: a deck, a generator of draws, answers that can be taken back, and a transcript that stays open.
//!
//! Nothing of it is saved by the program. What a call leaves in memory is there at the next one.

mod course;
mod draw;

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

use course::Course;
use exports::example::session::lesson::{Question, Standing, Verdict};

wit_bindgen::generate!({ path: "wit", world: "session" });

const TRANSCRIPT: &str = "/transcript.txt";

struct Lesson {
    learner: String,
    course: Course,
    /// The course before each answer, the last one at the end.
    undo: Vec<Course>,
    transcript: File,
}

thread_local! {
    static LESSON: RefCell<Option<Lesson>> = const { RefCell::new(None) };
}

/// Does something with the lesson, if there is one.
fn lesson<T>(work: impl FnOnce(&mut Lesson) -> Result<T, String>) -> Result<T, String> {
    LESSON.with_borrow_mut(|lesson| work(lesson.as_mut().ok_or("nobody has begun a lesson")?))
}

impl Lesson {
    fn question(&self) -> Question {
        Question { number: self.course.number, text: self.course.card.to_string() }
    }

    fn note(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.transcript, "{line}").map_err(|e| format!("{TRANSCRIPT}: {e}"))
    }
}

struct Tutor;

impl exports::example::session::lesson::Guest for Tutor {
    fn begin(learner: String, seed: u64) -> Result<Question, String> {
        let transcript = File::create(TRANSCRIPT).map_err(|e| format!("{TRANSCRIPT}: {e}"))?;
        let mut lesson = Lesson { learner, course: Course::new(seed), undo: Vec::new(), transcript };
        lesson.note(&format!("a lesson for {}", lesson.learner))?;
        let question = lesson.question();
        LESSON.set(Some(lesson));
        Ok(question)
    }

    fn answer(value: i64) -> Result<Verdict, String> {
        lesson(|lesson| {
            let before = lesson.course.clone();
            let right = lesson.course.answer(value);
            let (word, expected) = (if right { "right" } else { "wrong" }, before.card.product());
            lesson.note(&format!("{}. {} = {value}: {word}", before.number, before.card))?;
            lesson.undo.push(before);
            Ok(Verdict { right, expected, next: lesson.question() })
        })
    }

    fn skip(cards: u32) -> Result<Question, String> {
        lesson(|lesson| {
            lesson.note(&format!("{cards} cards are passed over"))?;
            lesson.undo.clear();
            // The mistake of this program: nobody asks whether there are so many.
            lesson.course.again.drain(..cards as usize);
            Ok(lesson.question())
        })
    }

    fn undo() -> Result<Question, String> {
        lesson(|lesson| {
            lesson.course = lesson.undo.pop().ok_or("there is no answer to take back")?;
            lesson.note(&format!("{}. is asked again", lesson.course.number))?;
            Ok(lesson.question())
        })
    }

    fn report() -> Result<Standing, String> {
        lesson(|Lesson { learner, course, undo, .. }| {
            Ok(Standing {
                learner: learner.clone(),
                answered: course.answered,
                right: course.right,
                undoable: undo.len() as u32,
                again: course.again.iter().map(|(_, card)| card.to_string()).collect(),
            })
        })
    }
}

impl exports::reel::guest::forked::Guest for Tutor {
    fn forked(name: String) {
        drop(lesson(|lesson| lesson.note(&format!("-- goes on as {name}"))));
    }
}

export!(Tutor);
