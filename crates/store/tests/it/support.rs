//! Commands, states and budgets that several tests use.

use holdfast_machine::{Command, Digester, Head, LogId, Txn, View};
use holdfast_types::{
    Body, Epoch, EpochId, Expect, IdentityId, Millis, Revision, Row, Table, TxnId, Value,
};

/// Images of a point, at least: one with each kind of damage.
pub const EACH_DAMAGE: usize = 6;

pub fn epoch() -> Epoch {
    let base = Revision::epoch_base(1).expect("epoch 1");
    Epoch { n: 1, id: EpochId([1; 16]), parent: EpochId([0; 16]), base }
}

pub fn id(index: u64) -> LogId {
    LogId { term: 1, node: 7, index }
}

pub fn head() -> Head {
    Head::new(epoch())
}

/// A transaction that writes `n` keys of table `table` beginning with `first`, whatever is there.
pub fn txn(view: &impl View, n: u64, table: Table, keys: &[u64], delete: bool) -> Command {
    let mut txn = Txn {
        id: TxnId([u8::try_from(n % 251).expect("below 251"); 16]),
        epoch: epoch().id,
        at: Millis(1000 + n),
        actor: IdentityId::SYSTEM,
        verb: u16::try_from(n % 1000).expect("below 1000"),
        expect: Vec::new(),
        write: Vec::new(),
    };
    for key in keys {
        let bytes = key.to_be_bytes().to_vec();
        let old = view.get(table, &bytes).expect("a readable view");
        let live = old.filter(|v| !v.is_tombstone());
        let expect = live.map_or(Expect::Absent, |v: Value| Expect::At(v.rev));
        txn.expect.push((table, bytes.clone(), expect));
        let body = Body { schema: 1, bytes: vec![u8::try_from(n % 256).expect("a byte"); 40] };
        txn.write.push((table, bytes, (!delete).then_some(body)));
    }
    Command::Txn(txn)
}

/// The head, with the tables that the rows say.
pub fn recomputed(view: &impl View, tables: &[Table]) -> Head {
    let mut digester = Digester::new();
    for &table in tables {
        view.scan(table, &[], &mut |key, value| {
            digester.add(&Row { table, key: key.to_vec(), value });
            std::ops::ControlFlow::Continue(())
        })
        .expect("whole rows");
    }
    Head { tables: digester.finish(), ..view.head().clone() }
}

/// SplitMix64, so that every run does the same.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}
