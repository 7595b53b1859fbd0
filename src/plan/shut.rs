//! What lies in a directory that the command cannot enter is hidden by hiding the directory: inside, nobody gets as far
//! as to cover it, and it stays hidden when its owner opens the directory meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::mounts::{Mount, MountOp};
use crate::host::paths::FileId;

/// Puts one mask over each such directory that something is hidden in, in the place of those below it.
#[must_use]
pub(super) fn hide_whole(ops: Vec<MountOp>, shut: &BTreeMap<PathBuf, FileId>) -> Vec<MountOp> {
    let mut done: Vec<MountOp> = Vec::with_capacity(ops.len());
    for op in ops {
        let above = shut.iter().find(|(directory, _)| op.target != **directory && op.target.starts_with(directory));
        let hides = matches!(op.what, Mount::Mask { .. } | Mount::Veil { .. });
        let Some((directory, id)) = above.filter(|_| hides) else {
            done.push(op);
            continue;
        };
        let what = Mount::Mask { id: Some(*id), dir: true };
        if !done.iter().any(|earlier| earlier.target == *directory && earlier.what == what) {
            done.push(MountOp { target: directory.clone(), what, because: op.because });
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Origin;

    #[test]
    fn one_mask_takes_the_place_of_all_below_and_no_other_operation_is_touched() {
        let id = |ino| FileId { dev: 1, ino };
        let mask = |target: &str, ino| MountOp {
            target: target.into(),
            what: Mount::Mask { id: Some(id(ino)), dir: false },
            because: Origin::Secret("x"),
        };
        let bind = MountOp { target: "/h/alice/w".into(), what: Mount::ReadOnly, because: Origin::Secret("x") };
        let ops = vec![mask("/h/alice/.ssh", 2), mask("/h/alice/.netrc", 3), bind.clone(), mask("/h/alicex", 4)];
        let shut = BTreeMap::from([("/h/alice".into(), id(9))]);
        let whole = MountOp { what: Mount::Mask { id: Some(id(9)), dir: true }, ..mask("/h/alice", 9) };
        assert_eq!(hide_whole(ops.clone(), &shut), [whole, bind, mask("/h/alicex", 4)]);
        assert_eq!(hide_whole(ops.clone(), &BTreeMap::new()), ops);
    }
}
