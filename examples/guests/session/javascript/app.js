// The lesson of the example `session`, in JavaScript: what a call leaves in memory is there at the next one. The transcript goes to stderr, since
// JavaScript has no files here.

// A card that was answered wrong comes again after so many others.
const AGAIN_AFTER = 2;

const text = ([a, b]) => `${a} x ${b}`;

// Where a lesson stands; `copy` is all that is needed to come back here.
class Course {
  constructor(seed) {
    Object.assign(this, { state: seed, number: 0, card: null, again: [], answered: 0, right: 0 });
    this.goOn();
  }

  copy() {
    return Object.assign(Object.create(Course.prototype), structuredClone({ ...this }));
  }

  // splitmix64
  between(low, high) {
    const word = (n) => BigInt.asUintN(64, n);
    this.state = word(this.state + 0x9e3779b97f4a7c15n);
    let mixed = word((this.state ^ (this.state >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = word((mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return low + Number((mixed ^ (mixed >> 31n)) % BigInt(high - low + 1));
  }

  goOn() {
    this.number += 1;
    if (this.again.length > 0 && this.again[0].after === 0) {
      this.card = this.again.shift().card;
    } else {
      for (const entry of this.again) entry.after = Math.max(entry.after - 1, 0);
      this.card = [this.between(3, 12), this.between(3, 19)];
    }
  }

  answer(value) {
    const right = value === BigInt(this.card[0] * this.card[1]);
    this.answered += 1;
    this.right += right ? 1 : 0;
    if (!right) this.again.push({ after: AGAIN_AFTER, card: this.card });
    this.goOn();
    return right;
  }
}

let state = null;

function here() {
  if (state === null) throw "nobody has begun a lesson";
  return state;
}

const note = (line) => console.error(line);
const question = ({ course }) => ({ number: course.number, text: text(course.card) });

export const lesson = {
  begin(learner, seed) {
    state = { learner, course: new Course(seed), undo: [] };
    note(`a lesson for ${learner}`);
    return question(state);
  },

  answer(value) {
    const lesson = here();
    const before = lesson.course.copy();
    const right = lesson.course.answer(value);
    note(`${before.number}. ${text(before.card)} = ${value}: ${right ? "right" : "wrong"}`);
    lesson.undo.push(before);
    return { right, expected: BigInt(before.card[0] * before.card[1]), next: question(lesson) };
  },

  skip(cards) {
    const { course, undo } = here();
    note(`${cards} cards are passed over`);
    undo.length = 0;
    // The mistake of this program: nobody asks whether there are so many.
    for (let passed = 0; passed < cards; passed++) course.again.shift().card;
    return question(here());
  },

  undo() {
    const lesson = here();
    if (lesson.undo.length === 0) throw "there is no answer to take back";
    lesson.course = lesson.undo.pop();
    note(`${lesson.course.number}. is asked again`);
    return question(lesson);
  },

  report() {
    const { learner, course, undo } = here();
    const again = course.again.map(({ card }) => text(card));
    return { learner, answered: course.answered, right: course.right, undoable: undo.length, again };
  },
};

export const forked = {
  forked(name) {
    if (state !== null) note(`-- goes on as ${name}`);
  },
};
