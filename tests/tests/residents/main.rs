//! Residents: guests that keep their memory between calls, whatever becomes of the instance meanwhile.

mod asleep;
mod capture;
mod killed;
mod laws;
mod lives;
mod overtaken;
mod retention;
mod served;
mod side;
mod smith;
mod timers;
