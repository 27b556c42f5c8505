//! `wasi:clocks`.

use reel_abi::types::Nanos;
use reel_abi::vocabulary::{
    ClockMonotonic, ClockMonotonicResolution, ClockWall, ClockWallResolution, TimerAfter, TimerAt,
};
use wasmtime::component::Resource;

use super::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use super::filesystem_types::datetime;
use super::handles::own;
use super::session::{Pollable, Session};

/// Both clocks count nanoseconds.
const RESOLUTION: Nanos = Nanos(1);

impl wall_clock::Host for Session {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let reading = self.gate.pass(ClockWall {}, |gate, _| Ok(gate.wall()))?;
        Ok(datetime(reading))
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let Nanos(step) = self.gate.pass(ClockWallResolution {}, |_, _| Ok(RESOLUTION))?;
        Ok(datetime(reel_abi::types::WallReading(step)))
    }
}

impl monotonic_clock::Host for Session {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.gate.pass(ClockMonotonic {}, |gate, _| Ok(gate.monotonic()))?.0)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(self.gate.pass(ClockMonotonicResolution {}, |_, _| Ok(RESOLUTION))?.0)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        let handles = &mut self.handles;
        let call = TimerAt { when: Nanos(when) };
        let handle = self.gate.pass(call, |_, _| handles.push(Pollable::Timer { deadline: when }))?;
        Ok(own(handle))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<Pollable>> {
        let handles = &mut self.handles;
        let call = TimerAfter { duration: Nanos(duration) };
        let handle = self.gate.pass(call, |gate, _| {
            let deadline = gate.monotonic().0.saturating_add(duration);
            handles.push(Pollable::Timer { deadline })
        })?;
        Ok(own(handle))
    }
}
