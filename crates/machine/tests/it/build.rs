//! Short ways to say "a transaction that …".

use holdfast_machine::{Command, Txn};
use holdfast_types::{
    Body, Draft, Epoch, EpochId, Expect, IdentityId, Millis, Revision, Table, TxnId,
};

pub fn epoch() -> Epoch {
    let base = Revision::epoch_base(1).expect("epoch 1 has a base");
    Epoch { n: 1, id: EpochId([7; 16]), parent: EpochId([0; 16]), base }
}

pub fn revision(count: u64) -> Revision {
    Revision(epoch().base.0 + count)
}

pub fn body(bytes: &[u8]) -> Body {
    Body { schema: 1, bytes: bytes.to_vec() }
}

pub fn txn(id: u8, at: u64, draft: Draft) -> Txn {
    Txn {
        id: TxnId([id; 16]),
        epoch: epoch().id,
        at: Millis(at),
        actor: IdentityId([9; 32]),
        verb: 3,
        expect: draft.expect,
        write: draft.write,
    }
}

pub fn put(id: u8, key: &[u8], expect: Expect, bytes: &[u8]) -> Command {
    let mut draft = Draft::default();
    draft.put(Table::KEYS, key.to_vec(), expect, body(bytes));
    Command::Txn(txn(id, u64::from(id) * 1000, draft))
}
