//! One case per rule of `apply`.

use holdfast_machine::{
    Batch, Command, DecodeError, EncodeError, Head, Model, Outcome, Reason, View, ViewExt,
};
use holdfast_types::limits::{ENTRY_BYTES_MAX, ROW_BODY_BYTES_MAX, TXN_WRITES_MAX};
use holdfast_types::{Body, Draft, EpochId, Expect, Millis, Revision, Table, TableClass};

use crate::build::{body, epoch, put, revision, txn};

#[test]
fn a_row_is_made_changed_and_deleted() {
    let mut state = Model::new(epoch());
    let (outcome, changes) = state.apply(&put(1, b"k", Expect::Absent, b"one"));
    assert_eq!(outcome, Outcome::Done(revision(1)));
    let changes = changes.unwrap();
    assert_eq!((changes.rows.len(), &changes.old[..]), (1, &[None][..]));

    let (outcome, changes) = state.apply(&put(2, b"k", Expect::At(revision(1)), b"two"));
    assert_eq!(outcome, Outcome::Done(revision(2)));
    assert_eq!(changes.unwrap().old[0].as_ref().unwrap().body, b"one");

    let mut draft = Draft::default();
    draft.delete(Table::KEYS, b"k".to_vec(), revision(2));
    let (outcome, _) = state.apply(&Command::Txn(txn(3, 3000, draft)));
    assert_eq!(outcome, Outcome::Done(revision(3)));
    assert_eq!(state.live(Table::KEYS, b"k").unwrap(), None);
    let tombstone = state.get(Table::KEYS, b"k").unwrap().unwrap();
    assert!(tombstone.is_tombstone() && tombstone.rev == revision(3));
    let table = &state.head().tables[&Table::KEYS];
    assert_eq!((table.rows, table.live), (1, 0));

    // A tombstone is absent.
    let (outcome, _) = state.apply(&put(4, b"k", Expect::Absent, b"again"));
    assert_eq!(outcome, Outcome::Done(revision(4)));
}

#[test]
fn a_conflict_names_the_row_and_the_revision_it_met() {
    let mut state = Model::new(epoch());
    state.apply(&put(1, b"k", Expect::Absent, b"one"));
    let before = state.clone();
    let conflict =
        |found| Outcome::Conflict { table: Table::KEYS, key: b"k".to_vec(), found: Some(found) };
    let (outcome, changes) = state.apply(&put(2, b"k", Expect::Absent, b"two"));
    assert_eq!((outcome, changes), (conflict(revision(1)), None));
    let (outcome, _) = state.apply(&put(2, b"k", Expect::At(revision(9)), b"two"));
    assert_eq!(outcome, conflict(revision(1)));
    let (outcome, _) = state.apply(&put(2, b"other", Expect::At(revision(1)), b"two"));
    let found = None;
    assert_eq!(outcome, Outcome::Conflict { table: Table::KEYS, key: b"other".to_vec(), found });
    assert_eq!(state, before);
}

#[test]
fn malformed_transactions_are_refused_and_change_nothing() {
    let check = |reason, change: &dyn Fn(&mut Draft, &mut EpochId)| {
        let mut state = Model::new(epoch());
        let (mut draft, mut epoch_id) = (Draft::default(), epoch().id);
        draft.put(Table::KEYS, b"a".to_vec(), Expect::Absent, body(b"x"));
        change(&mut draft, &mut epoch_id);
        let txn = holdfast_machine::Txn { epoch: epoch_id, ..txn(1, 1, draft) };
        let (outcome, changes) = state.apply(&Command::Txn(txn));
        assert_eq!((outcome, changes), (Outcome::Refused(reason), None));
        assert_eq!(state, Model::new(epoch()));
    };
    let put = |draft: &mut Draft, table, key: &[u8], body: Body| {
        draft.put(table, key.to_vec(), Expect::Absent, body);
    };
    check(Reason::WrongEpoch, &|_, epoch| *epoch = EpochId([8; 16]));
    check(Reason::TooManyWrites, &|draft, _| {
        (0..TXN_WRITES_MAX).for_each(|n| put(draft, Table::KEYS, &n.to_be_bytes(), body(b"")));
    });
    check(Reason::UnexpectedWrite, &|draft, _| {
        draft.write.push((Table::KEYS, b"b".to_vec(), None));
    });
    check(Reason::UnexpectedWrite, &|draft, _| draft.expect[0].0 = Table::POLICIES);
    check(Reason::DuplicateWrite, &|draft, _| put(draft, Table::KEYS, b"a", body(b"y")));
    check(Reason::LocalTable, &|draft, _| put(draft, Table::LOCAL_NODE, b"a", body(b"y")));
    check(Reason::LocalTable, &|draft, _| {
        draft.require(Table::LOCAL_HEAD, Vec::new(), Expect::Absent);
    });
    check(Reason::RowTooLarge, &|draft, _| put(draft, Table::KEYS, &[0; 257], body(b"y")));
    check(Reason::RowTooLarge, &|draft, _| {
        put(draft, Table::KEYS, b"b", body(&vec![0; ROW_BODY_BYTES_MAX + 1]));
    });
    check(Reason::TombstoneSchema, &|draft, _| {
        put(draft, Table::KEYS, b"b", Body { schema: 0, bytes: Vec::new() });
    });
}

#[test]
fn an_epoch_ends_and_pruning_is_reserved() {
    let mut state = Model::new(epoch());
    let last = Revision(epoch().base.0 + (1 << 40) - 1);
    state.set_head(Head { revision: last, ..Head::new(epoch()) });
    let (outcome, _) = state.apply(&put(1, b"k", Expect::Absent, b"one"));
    assert_eq!(outcome, Outcome::Refused(Reason::EpochFull));
    let (outcome, _) = state.apply(&Command::Prune { floor: last, rows_max: 1 });
    assert_eq!(outcome, Outcome::Refused(Reason::Unsupported));
    assert_eq!(state.head().revision, last);
}

#[test]
fn state_time_never_goes_back() {
    let mut state = Model::new(epoch());
    let mut apply = |id, at| {
        let mut draft = Draft::default();
        draft.put(Table::KEYS, vec![id], Expect::Absent, body(b"x"));
        let (_, changes) = state.apply(&Command::Txn(txn(id, at, draft)));
        changes.unwrap().at
    };
    assert_eq!(apply(1, 5000), Millis(5000));
    assert_eq!(apply(2, 100), Millis(5000));
    assert_eq!(apply(3, 6000), Millis(6000));
    assert_eq!(state.head().at, Millis(6000));
    assert_eq!(state.live(Table::KEYS, &[2]).unwrap().unwrap().at, Millis(5000));
}

#[test]
fn a_batch_sees_its_own_writes_in_order() {
    let mut state = Model::new(epoch());
    for (id, key) in [(1, b"b"), (2, b"d"), (3, b"f")] {
        state.apply(&put(id, key, Expect::Absent, b"old"));
    }
    let mut batch = Batch::new(&state);
    batch.apply(&put(4, b"a", Expect::Absent, b"new")).unwrap();
    batch.apply(&put(5, b"d", Expect::At(revision(2)), b"new")).unwrap();
    let (outcome, _) = batch.apply(&put(6, b"d", Expect::At(revision(2)), b"no")).unwrap();
    assert!(
        matches!(outcome, Outcome::Conflict { found: Some(found), .. } if found == revision(5))
    );
    batch.apply(&put(7, b"g", Expect::Absent, b"new")).unwrap();
    let seen = |from: &[u8], stop: &[u8]| {
        let mut seen = Vec::new();
        let each = &mut |key: &[u8], value: holdfast_types::Value| {
            seen.push((key.to_vec(), value.body == b"new"));
            if key == stop {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        };
        batch.scan(Table::KEYS, from, each).unwrap();
        seen.into_iter().map(|(key, new)| (key[0], new)).collect::<Vec<_>>()
    };
    let all = [(b'a', true), (b'b', false), (b'd', true), (b'f', false), (b'g', true)];
    assert_eq!(seen(b"", b""), all);
    assert_eq!(seen(b"b", b"d"), all[1..3]);
    assert_eq!(seen(b"", b"b"), all[..2]);
    assert_eq!(seen(b"g", b""), all[4..]);
    let (head, changes) = batch.finish();
    assert_eq!((head.revision, changes.len()), (revision(6), 3));
}

#[test]
fn only_whole_commands_of_a_known_version_are_read() {
    let command = put(1, b"k", Expect::Absent, b"one");
    let bytes = command.encode().unwrap();
    assert_eq!(Command::decode(&bytes), Ok(command));
    assert_eq!(Command::decode(&[]), Err(DecodeError::Empty));
    assert_eq!(Command::decode(&[2, 0]), Err(DecodeError::UnknownVersion(2)));
    for len in 1..bytes.len() {
        assert!(Command::decode(&bytes[..len]).is_err(), "length {len}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Command::decode(&longer), Err(DecodeError::Trailing(1)));
}

#[test]
fn a_command_larger_than_an_entry_is_not_encoded() {
    let mut draft = Draft::default();
    for n in 0..5_u8 {
        let body = body(&vec![n; ROW_BODY_BYTES_MAX]);
        draft.put(Table::KEYS, vec![n], Expect::Absent, body);
    }
    let error = Command::Txn(txn(1, 1, draft)).encode().unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge(bytes) if bytes > ENTRY_BYTES_MAX));
    assert!(matches!(
        Command::decode(&vec![1; ENTRY_BYTES_MAX + 1]),
        Err(DecodeError::TooLarge(_))
    ));
}

#[test]
fn a_head_reads_back() {
    let mut state = Model::new(epoch());
    state.apply(&put(1, b"k", Expect::Absent, b"one"));
    let bytes = state.head().encode();
    let head = Head::decode(&bytes).unwrap();
    assert_eq!(&head, state.head());
    assert_eq!(head.digest(TableClass::Archived), state.head().digest(TableClass::Archived));
    assert!(Head::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(Head::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(Head::decode(&[]).is_err());
}
