//! The roots that are open, by generation, in a run of the keyring's locked cells.

use std::collections::BTreeMap;

use holdfast_crypto::AtHand;
use holdfast_crypto::kcv::{Kcv, root_kcv};
use holdfast_types::{Generation, VaultId};
use parking_lot::RwLock;

use crate::KeyringError;
use crate::arena::{CELL_BYTES, Cells};

/// A root, copied out of its cell; wiped on drop.
pub type Root = AtHand<CELL_BYTES>;

/// All open roots of one vault.
pub struct Roots {
    vault: VaultId,
    open: RwLock<Open>,
}

struct Open {
    cells: Cells,
    /// Generation → cell and check value; cells are given out in order and never back.
    index: BTreeMap<Generation, (usize, Kcv)>,
}

impl Roots {
    /// None is open yet; as many as there are cells can be.
    pub fn new(vault: VaultId, cells: Cells) -> Self {
        Self { vault, open: RwLock::new(Open { cells, index: BTreeMap::new() }) }
    }

    /// Adds a root. The same root again is no fault; another one for a generation is.
    pub fn insert(&self, generation: Generation, root: &[u8; 32]) -> Result<(), KeyringError> {
        let kcv = root_kcv(self.vault, generation, root);
        let mut open = self.open.write();
        if let Some((_, own)) = open.index.get(&generation) {
            let same = *own == kcv;
            return same.then_some(()).ok_or(KeyringError::RootMismatch(generation));
        }
        let cell = open.index.len();
        if cell == open.cells.len() {
            return Err(KeyringError::TooManyRoots);
        }
        open.cells.write(cell, root);
        open.index.insert(generation, (cell, kcv));
        Ok(())
    }

    pub fn get(&self, generation: Generation) -> Result<Root, KeyringError> {
        let open = self.open.read();
        match open.index.get(&generation) {
            Some((cell, _)) => Ok(open.cells.read(*cell)),
            None if open.index.is_empty() => Err(KeyringError::Sealed),
            None => Err(KeyringError::NoRoot(generation)),
        }
    }

    pub fn kcv(&self, generation: Generation) -> Result<Kcv, KeyringError> {
        let open = self.open.read();
        match open.index.get(&generation) {
            Some((_, kcv)) => Ok(*kcv),
            None if open.index.is_empty() => Err(KeyringError::Sealed),
            None => Err(KeyringError::NoRoot(generation)),
        }
    }

    /// The newest generation that is open.
    pub fn current(&self) -> Option<Generation> {
        self.open.read().index.last_key_value().map(|(generation, _)| *generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::arena;

    fn roots(cells: usize) -> Roots {
        Roots::new(VaultId([1; 16]), arena(&[cells]).remove(0))
    }

    #[test]
    fn roots_by_generation() {
        let roots = roots(2);
        assert_eq!(roots.get(Generation(1)), Err(KeyringError::Sealed));
        assert_eq!(roots.current(), None);
        roots.insert(Generation(2), &[2; 32]).expect("room");
        roots.insert(Generation(1), &[1; 32]).expect("room");
        assert_eq!(roots.current(), Some(Generation(2)));
        assert_eq!(roots.get(Generation(1)).as_deref(), Ok(&[1; 32]));
        assert_eq!(roots.get(Generation(3)), Err(KeyringError::NoRoot(Generation(3))));
        assert_eq!(roots.insert(Generation(1), &[1; 32]), Ok(()), "the same again");
        let other = roots.insert(Generation(1), &[9; 32]);
        assert_eq!(other, Err(KeyringError::RootMismatch(Generation(1))));
        assert_ne!(roots.kcv(Generation(1)), roots.kcv(Generation(2)));
    }

    #[test]
    fn room_ends() {
        let roots = roots(3);
        let results: Vec<_> = (1..=4).map(|g| roots.insert(Generation(g), &[1; 32])).collect();
        assert!(results[..3].iter().all(Result::is_ok));
        assert_eq!(results[3], Err(KeyringError::TooManyRoots));
    }
}
