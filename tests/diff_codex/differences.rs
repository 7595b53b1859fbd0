//! Where ours is meant to differ from the reference, and why. A difference without a row fails the test, and so does a
//! row without a difference.

use crate::compare::Difference;

pub const DIFFERENCES: &[Difference] = &[];
