//! Applying commands: the one place where state changes.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use holdfast_types::limits::{EPOCH_SHIFT, ROW_BODY_BYTES_MAX, ROW_KEY_BYTES_MAX, TXN_WRITES_MAX};
use holdfast_types::{
    Body, Expect, IdentityId, Millis, Revision, Row, Table, TableClass, TxnId, Value,
};

use crate::{Command, Head, Outcome, ReadError, Reason, Txn, View};

/// What one accepted transaction did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The revision it took.
    pub revision: Revision,
    /// State time of it.
    pub at: Millis,
    /// The transaction.
    pub txn: TxnId,
    /// Who asked.
    pub actor: IdentityId,
    /// What was asked.
    pub verb: u16,
    /// The rows as they stand now, in the order they were written.
    pub rows: Vec<Row>,
    /// What stood there before, row by row: a value, a tombstone or nothing.
    pub old: Vec<Option<Value>>,
}

/// Applies one command to what `view` shows. `head` is where that state stands and moves on when the
/// outcome is [`Outcome::Done`]; in every other case, errors included, nothing changes.
///
/// `view.head()` is not looked at, so that a caller may keep its head elsewhere.
pub fn apply(
    view: &impl View,
    head: &mut Head,
    command: &Command,
) -> Result<(Outcome, Option<Changes>), ReadError> {
    apply_with(&|table, key| view.get(table, key), head, command)
}

type Read<'a> = &'a dyn Fn(Table, &[u8]) -> Result<Option<Value>, ReadError>;

fn apply_with(
    read: Read<'_>,
    head: &mut Head,
    command: &Command,
) -> Result<(Outcome, Option<Changes>), ReadError> {
    let txn = match command {
        Command::Txn(txn) => txn,
        Command::Prune { .. } => return Ok((Outcome::Refused(Reason::Unsupported), None)),
    };
    if let Err(reason) = check_shape(txn, head) {
        return Ok((Outcome::Refused(reason), None));
    }
    let mut found = BTreeMap::new();
    for (table, key, expect) in &txn.expect {
        let value = read(*table, key)?;
        if let Some(conflict) = conflict(*table, key, *expect, value.as_ref()) {
            return Ok((conflict, None));
        }
        found.insert((*table, key.as_slice()), value);
    }
    let changes = write(txn, head, &mut found);
    Ok((Outcome::Done(changes.revision), Some(changes)))
}

/// What can be said of a transaction without reading a row.
fn check_shape(txn: &Txn, head: &Head) -> Result<(), Reason> {
    if txn.epoch != head.epoch.id {
        return Err(Reason::WrongEpoch);
    }
    if txn.write.len() > TXN_WRITES_MAX {
        return Err(Reason::TooManyWrites);
    }
    let places = || {
        let expected = txn.expect.iter().map(|(table, key, _)| (*table, key.as_slice()));
        expected.chain(txn.write.iter().map(|(table, key, _)| (*table, key.as_slice())))
    };
    if places().any(|(table, _)| table.class() == TableClass::Local) {
        return Err(Reason::LocalTable);
    }
    if places().any(|(_, key)| key.len() > ROW_KEY_BYTES_MAX) {
        return Err(Reason::RowTooLarge);
    }
    for body in txn.write.iter().filter_map(|(_, _, body)| body.as_ref()) {
        check_body(body)?;
    }
    check_places(txn)?;
    let last = (1_u64 << EPOCH_SHIFT) - 1;
    if head.revision.count() == last {
        return Err(Reason::EpochFull);
    }
    Ok(())
}

fn check_body(body: &Body) -> Result<(), Reason> {
    if body.bytes.len() > ROW_BODY_BYTES_MAX {
        return Err(Reason::RowTooLarge);
    }
    if body.schema == 0 {
        return Err(Reason::TombstoneSchema);
    }
    Ok(())
}

/// A key is written at most once, and only where something is expected.
fn check_places(txn: &Txn) -> Result<(), Reason> {
    let mut expected: Vec<_> = txn.expect.iter().map(|(table, key, _)| (*table, key)).collect();
    let mut written: Vec<_> = txn.write.iter().map(|(table, key, _)| (*table, key)).collect();
    expected.sort_unstable();
    written.sort_unstable();
    if written.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Reason::DuplicateWrite);
    }
    if written.iter().any(|place| expected.binary_search(place).is_err()) {
        return Err(Reason::UnexpectedWrite);
    }
    Ok(())
}

fn conflict(table: Table, key: &[u8], expect: Expect, value: Option<&Value>) -> Option<Outcome> {
    let live = value.filter(|value| !value.is_tombstone()).map(|value| value.rev);
    let holds = match expect {
        Expect::Absent => live.is_none(),
        Expect::At(revision) => live == Some(revision),
    };
    let found = value.map(|value| value.rev);
    (!holds).then(|| Outcome::Conflict { table, key: key.to_vec(), found })
}

/// The transaction is accepted: nothing here can fail.
fn write<'t>(
    txn: &'t Txn,
    head: &mut Head,
    found: &mut BTreeMap<(Table, &'t [u8]), Option<Value>>,
) -> Changes {
    let revision = head.revision.next();
    let at = head.at.max(txn.at);
    head.revision = revision;
    head.at = at;
    let mut rows = Vec::with_capacity(txn.write.len());
    let mut old = Vec::with_capacity(txn.write.len());
    for (table, key, body) in &txn.write {
        let (schema, body) =
            body.as_ref().map_or((0, Vec::new()), |body| (body.schema, body.bytes.clone()));
        let value = Value { schema, rev: revision, at, body };
        let before = found.remove(&(*table, key.as_slice())).flatten();
        let sums = head.tables.entry(*table).or_default();
        if let Some(before) = &before {
            sums.remove(*table, key, before);
        }
        sums.add(*table, key, &value);
        rows.push(Row { table: *table, key: key.clone(), value });
        old.push(before);
    }
    Changes { revision, at, txn: txn.id, actor: txn.actor, verb: txn.verb, rows, old }
}

/// Several commands of one commit, applied over one view: later ones see what earlier ones wrote.
///
/// Is a [`View`] itself, of the state so far.
#[derive(Debug)]
pub struct Batch<'v, V: View> {
    view: &'v V,
    head: Head,
    rows: BTreeMap<Table, BTreeMap<Vec<u8>, Value>>,
    changes: Vec<Arc<Changes>>,
}

impl<'v, V: View> Batch<'v, V> {
    /// Begins where `view` stands.
    #[must_use]
    pub fn new(view: &'v V) -> Self {
        let head = view.head().clone();
        Self { view, head, rows: BTreeMap::new(), changes: Vec::new() }
    }

    /// Applies the next command.
    ///
    /// Errors leave the batch as it was.
    pub fn apply(
        &mut self,
        command: &Command,
    ) -> Result<(Outcome, Option<Arc<Changes>>), ReadError> {
        let (view, rows) = (self.view, &self.rows);
        let read = |table: Table, key: &[u8]| read_over(view, rows, table, key);
        let (outcome, changes) = apply_with(&read, &mut self.head, command)?;
        let Some(changes) = changes.map(Arc::new) else { return Ok((outcome, None)) };
        for row in &changes.rows {
            self.rows.entry(row.table).or_default().insert(row.key.clone(), row.value.clone());
        }
        self.changes.push(Arc::clone(&changes));
        Ok((outcome, Some(changes)))
    }

    /// Where the state stands now, and what was done, in order of revision: to be committed
    /// together.
    #[must_use]
    pub fn finish(self) -> (Head, Vec<Arc<Changes>>) {
        (self.head, self.changes)
    }
}

fn read_over<V: View>(
    view: &V,
    rows: &BTreeMap<Table, BTreeMap<Vec<u8>, Value>>,
    table: Table,
    key: &[u8],
) -> Result<Option<Value>, ReadError> {
    match rows.get(&table).and_then(|rows| rows.get(key)) {
        Some(value) => Ok(Some(value.clone())),
        None => view.get(table, key),
    }
}

impl<V: View> View for Batch<'_, V> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Value>, ReadError> {
        read_over(self.view, &self.rows, table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        each: &mut dyn FnMut(&[u8], Value) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let range = (Bound::Included(from), Bound::Unbounded);
        let mut new = self.rows.get(&table).map(|rows| rows.range::<[u8], _>(range).peekable());
        let mut stopped = false;
        self.view.scan(table, from, &mut |key, value| {
            // New rows before this one come first; one at the same key replaces it.
            while let Some((new_key, new_value)) =
                new.as_mut().and_then(|new| new.next_if(|(new_key, _)| new_key.as_slice() <= key))
            {
                let replaced = new_key.as_slice() == key;
                if each(new_key, new_value.clone()).is_break() {
                    stopped = true;
                    return ControlFlow::Break(());
                }
                if replaced {
                    return ControlFlow::Continue(());
                }
            }
            let flow = each(key, value);
            stopped = flow.is_break();
            flow
        })?;
        if stopped {
            return Ok(());
        }
        for (key, value) in new.into_iter().flatten() {
            if each(key, value.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
