//! Bytes that must never change: what an old log holds, and digests a ledger recorded.
//!
//! To add a case, write its name and let the failure show the bytes; never edit an old one.

use std::fmt::Write as _;

use holdfast_machine::{Command, Model, View, rowcodec};
use holdfast_types::{Draft, Expect, Millis, Revision, Table, TableClass, Value, hex};

use crate::build::{body, epoch, revision, txn};

const GOLDEN: &str = include_str!("../../../../testdata/machine/v1.txt");

fn commands() -> [Command; 3] {
    let mut first = Draft::default();
    first.put(Table::KEYS, b"key-1".to_vec(), Expect::Absent, body(b"record one"));
    first.put(Table::JOBS, b"job-1".to_vec(), Expect::Absent, body(b"job one"));
    first.require(Table::VAULT, Vec::new(), Expect::Absent);
    let mut second = Draft::default();
    second.put(Table::KEYS, b"key-1".to_vec(), Expect::At(revision(1)), body(&[0xff; 300]));
    second.put(Table::POLICIES, b"p".to_vec(), Expect::Absent, body(b""));
    let mut third = Draft::default();
    third.delete(Table::POLICIES, b"p".to_vec(), revision(2));
    let times = [1_700_000_000_000, 1_700_000_000_001, 1_600_000_000_000];
    let mut id = 0;
    [first, second, third].map(|draft| {
        id += 1;
        Command::Txn(txn(id, times[usize::from(id) - 1], draft))
    })
}

#[test]
fn golden() {
    let mut now = String::new();
    let mut line = |name: &str, hex: &str| writeln!(now, "{name} {hex}").unwrap();
    let mut state = Model::new(epoch());
    let digest = |state: &Model, class| state.head().digest(class).to_string();
    line("digest-empty", &digest(&state, TableClass::Archived));
    for (n, command) in commands().iter().enumerate() {
        let bytes = command.encode().unwrap();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(command));
        line(&format!("command-{}", n + 1), &hex::encode(&bytes));
        state.apply(command);
        line(&format!("digest-archived-{}", n + 1), &digest(&state, TableClass::Archived));
        line(&format!("digest-cluster-{}", n + 1), &digest(&state, TableClass::Cluster));
    }
    let prune = Command::Prune { floor: Revision(300), rows_max: 1000 };
    line("command-prune", &hex::encode(&prune.encode().unwrap()));
    let value = Value { schema: 2, rev: Revision(258), at: Millis(772), body: b"body".to_vec() };
    line("row", &hex::encode(&rowcodec::encode_value(Table::KEYS, b"key", &value)));
    assert_eq!(now, GOLDEN, "a stored format changed");
}
