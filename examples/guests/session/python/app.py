"""The lesson of the example `session`, in Python: what a call leaves in memory is there at the next one."""

import copy
import random
from dataclasses import dataclass, field

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lesson import Question, Standing, Verdict

TRANSCRIPT = "/transcript.txt"

# A card that was answered wrong comes again after so many others.
AGAIN_AFTER = 2


@dataclass
class Course:
    """Where a lesson stands."""

    draw: random.Random
    card: tuple[int, int] = (0, 0)
    number: int = 0
    again: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    answered: int = 0
    right: int = 0

    def go_on(self):
        self.number += 1
        if self.again and self.again[0][0] == 0:
            self.card = self.again.pop(0)[1]
        else:
            self.again = [(max(after - 1, 0), card) for after, card in self.again]
            self.card = (self.draw.randint(3, 12), self.draw.randint(3, 19))

    def answer(self, value):
        right = value == self.card[0] * self.card[1]
        self.answered += 1
        self.right += right
        if not right:
            self.again.append((AGAIN_AFTER, self.card))
        self.go_on()
        return right


def text(card):
    return f"{card[0]} x {card[1]}"


class State:
    """The lesson: who learns, where it stands, what can be taken back, and the transcript, which stays open."""

    def __init__(self, learner, seed):
        self.learner = learner
        self.course = Course(random.Random(seed))
        self.course.go_on()
        self.undo = []
        self.transcript = open(TRANSCRIPT, "w")
        self.note(f"a lesson for {learner}")

    def note(self, line):
        self.transcript.write(line + "\n")
        self.transcript.flush()

    def question(self):
        return Question(self.course.number, text(self.course.card))


state = None


def lesson():
    if state is None:
        raise Err("nobody has begun a lesson")
    return state


class Lesson(exports.Lesson):
    def begin(self, learner, seed):
        global state
        state = State(learner, seed)
        return state.question()

    def answer(self, value):
        here = lesson()
        before = copy.deepcopy(here.course)
        right = here.course.answer(value)
        here.note(f"{before.number}. {text(before.card)} = {value}: {'right' if right else 'wrong'}")
        here.undo.append(before)
        return Verdict(right, before.card[0] * before.card[1], here.question())

    def skip(self, cards):
        here = lesson()
        here.note(f"{cards} cards are passed over")
        here.undo.clear()
        # The mistake of this program: nobody asks whether there are so many.
        for _ in range(cards):
            here.course.again.pop(0)
        return here.question()

    def undo(self):
        here = lesson()
        if not here.undo:
            raise Err("there is no answer to take back")
        here.course = here.undo.pop()
        here.note(f"{here.course.number}. is asked again")
        return here.question()

    def report(self):
        here = lesson()
        again = [text(card) for _, card in here.course.again]
        return Standing(here.learner, here.course.answered, here.course.right, len(here.undo), again)


class Forked(exports.Forked):
    def forked(self, name):
        if state is not None:
            state.note(f"-- goes on as {name}")
