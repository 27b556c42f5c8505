//! Places, and how far they are from each other.

use serde::{Deserialize, Serialize};

use json_http::Refusal;

/// A degree of latitude.
const KM_A_DEGREE: f64 = 111.195;

/// Latitude and longitude, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place(f64, f64);

impl Place {
    pub fn check(self) -> Result<Self, Refusal> {
        let is_one = self.0.abs() <= 90.0 && self.1.abs() <= 180.0;
        is_one.then_some(self).ok_or_else(|| Refusal(400, format!("{}, {} is no place", self.0, self.1)))
    }

    /// Kilometres to another.
    pub fn far_from(self, other: Self) -> f64 {
        let (north, east) = self.seen_from(other);
        north.hypot(east)
    }

    /// Kilometres to the straight way between two others. The earth is flat here, which does for a few hundred kilometres away from the poles.
    pub fn off(self, from: Self, to: Self) -> f64 {
        let (way, here) = (to.seen_from(from), self.seen_from(from));
        let square = way.0.mul_add(way.0, way.1 * way.1);
        let done = if square > 0.0 { (here.0.mul_add(way.0, here.1 * way.1) / square).clamp(0.0, 1.0) } else { 0.0 };
        (here.0 - done * way.0).hypot(here.1 - done * way.1)
    }

    /// Kilometres to the north and east.
    fn seen_from(self, origin: Self) -> (f64, f64) {
        let east = (self.1 - origin.1) * origin.0.to_radians().cos();
        ((self.0 - origin.0) * KM_A_DEGREE, east * KM_A_DEGREE)
    }
}
