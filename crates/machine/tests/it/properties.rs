//! What holds for every sequence of commands.

use holdfast_machine::{Batch, Command, Digester, Model, Outcome, RowSink, View, apply};
use holdfast_types::{Body, Draft, Expect, Revision, Table, TableClass};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{epoch, txn};

/// What a step expects of its row.
#[derive(Clone, Copy, Debug)]
enum Want {
    Truth,
    Absent,
    At(u64),
}

/// One write: table, key, what is expected, what is written (`None` deletes).
type Step = (Table, u8, Want, Option<Vec<u8>>);

fn step() -> impl Strategy<Value = Step> {
    let tables =
        [Table::KEYS, Table::POLICIES, Table::LEDGER, Table::JOBS].map(Just).map(Strategy::boxed);
    let table = proptest::strategy::Union::new(tables);
    let want = prop_oneof![
        8 => Just(Want::Truth),
        1 => Just(Want::Absent),
        1 => (0_u64..40).prop_map(Want::At),
    ];
    (table, 0_u8..6, want, proptest::option::weighted(0.8, vec(any::<u8>(), 0..40)))
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    vec(vec(step(), 0..4), 0..40)
}

/// The transaction that a proposer who sees `view` would make of the steps.
fn command(view: &impl View, n: usize, steps: &[Step]) -> Command {
    let mut draft = Draft::default();
    for (table, key, want, body) in steps {
        let live = view.get(*table, &[*key]).unwrap().filter(|value| !value.is_tombstone());
        let expect = match want {
            Want::Truth => live.map_or(Expect::Absent, |value| Expect::At(value.rev)),
            Want::Absent => Expect::Absent,
            Want::At(count) => Expect::At(Revision(epoch().base.0 + count)),
        };
        let body = body.clone().map(|bytes| Body { schema: 1, bytes });
        draft.expect.push((*table, vec![*key], expect));
        draft.write.push((*table, vec![*key], body));
    }
    let n = u8::try_from(n).expect("at most 40 transactions");
    Command::Txn(txn(n, 1000 + u64::from(n % 7), draft))
}

fn digests(state: &Model) -> [holdfast_machine::Digest; 2] {
    [TableClass::Archived, TableClass::Cluster].map(|class| state.head().digest(class))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_carried_digest_is_the_recomputed_one(steps in steps()) {
        let mut state = Model::new(epoch());
        for (n, steps) in steps.iter().enumerate() {
            let before = state.clone();
            let (outcome, changes) = state.apply(&command(&before, n, steps));
            match outcome {
                Outcome::Done(revision) => {
                    prop_assert_eq!(revision, before.head().revision.next());
                    prop_assert!(changes.is_some_and(|changes| changes.revision == revision));
                }
                _ => prop_assert_eq!(&state, &before, "{:?} changed something", outcome),
            }
        }
        let mut digester = Digester::new();
        state.rows().for_each(|row| digester.add(&row));
        prop_assert_eq!(&digester.finish(), &state.head().tables);
        // In parts, as several threads read them.
        let mut parts = [Digester::new(), Digester::new(), Digester::new()];
        state.rows().enumerate().for_each(|(n, row)| parts[n % 3].add(&row));
        let mut merged = Digester::new();
        parts.into_iter().rev().for_each(|part| merged.merge(part));
        prop_assert_eq!(&merged.finish(), &state.head().tables);
    }

    #[test]
    fn equal_commands_make_equal_states_however_they_are_batched(
        steps in steps(),
        sizes in vec(1_usize..6, 1..10),
    ) {
        let mut one_by_one = Model::new(epoch());
        let mut commands = Vec::new();
        let mut outcomes = Vec::new();
        for (n, steps) in steps.iter().enumerate() {
            let command = command(&one_by_one, n, steps);
            outcomes.push(one_by_one.apply(&command).0);
            commands.push(Command::decode(&command.encode().unwrap()).unwrap());
        }
        let mut batched = Model::new(epoch());
        let mut batched_outcomes = Vec::new();
        let mut rest = commands.as_slice();
        for size in sizes.iter().cycle() {
            let (now, later) = rest.split_at((*size).min(rest.len()));
            let mut batch = Batch::new(&batched);
            for command in now {
                batched_outcomes.push(batch.apply(command).unwrap().0);
            }
            let (head, changes) = batch.finish();
            batched.commit(head, &changes);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(outcomes, batched_outcomes);
        prop_assert_eq!(digests(&one_by_one), digests(&batched));
        prop_assert_eq!(one_by_one, batched);
    }

    #[test]
    fn a_restored_state_has_the_same_digest_and_any_other_row_another(steps in steps()) {
        let mut state = Model::new(epoch());
        for (n, steps) in steps.iter().enumerate() {
            let command = command(&state.clone(), n, steps);
            state.apply(&command);
        }
        let mut restored = Model::new(epoch());
        state.rows().for_each(|row| restored.put(&row).unwrap());
        prop_assert_eq!(&restored.head().tables, &state.head().tables);

        let rows: Vec<_> = state.rows().collect();
        for at in 0..rows.len() {
            let mut digester = Digester::new();
            for (n, row) in rows.iter().enumerate() {
                let mut row = row.clone();
                if n == at {
                    row.value.rev = row.value.rev.next();
                }
                digester.add(&row);
            }
            prop_assert_ne!(&digester.finish(), &state.head().tables);
        }
    }

    #[test]
    fn one_failed_expectation_among_many_changes_nothing(
        steps in steps(),
        wrong in any::<prop::sample::Index>(),
    ) {
        let mut state = Model::new(epoch());
        for (n, steps) in steps.iter().enumerate() {
            let command = command(&state.clone(), n, steps);
            state.apply(&command);
        }
        let mut draft = Draft::default();
        for key in 0..6 {
            let live = state.get(Table::KEYS, &[key]).unwrap().filter(|value| !value.is_tombstone());
            let expect = live.map_or(Expect::Absent, |value| Expect::At(value.rev));
            let body = Body { schema: 1, bytes: vec![key] };
            draft.put(Table::KEYS, vec![key], expect, body);
        }
        draft.expect[wrong.index(6)].2 = Expect::At(Revision(u64::MAX));
        let mut head = state.head().clone();
        let (outcome, changes) =
            apply(&state, &mut head, &Command::Txn(txn(99, u64::MAX, draft))).unwrap();
        let conflict = matches!(outcome, Outcome::Conflict { .. });
        prop_assert!(conflict && changes.is_none());
        prop_assert_eq!(&head, state.head());
    }

    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let versioned = [&[1][..], &bytes].concat();
        if let Ok(command) = Command::decode(&versioned) {
            prop_assert_eq!(Command::decode(&command.encode().unwrap()), Ok(command));
        }
        let _ = Command::decode(&bytes);
        let _ = holdfast_machine::Head::decode(&bytes);
    }
}
