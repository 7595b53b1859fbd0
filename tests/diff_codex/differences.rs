//! Where ours is meant to differ from the reference, and why. A difference without a row fails the test, and so does a
//! row without a difference.

mod process;
mod view;

use crate::compare::Difference;

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Difference> {
    view::ROWS.iter().chain(process::ROWS)
}
