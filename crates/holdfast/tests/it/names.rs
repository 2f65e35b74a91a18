//! Names that are none, through the command line: each is refused as bad input, and nothing is made.

use crate::vault::Vault;

/// A name that is none, and what is said of it.
const BAD: [(&str, &str); 12] = [
    ("", "name is empty"),
    ("a/b", "cannot contain '/'"),
    ("../a", "cannot contain '/'"),
    ("a\nb", "cannot contain '\\n'"),
    ("a\u{1b}[2J", "cannot contain '\\u{1b}'"),
    ("a\u{202e}b", "cannot contain '\\u{202e}'"),
    ("na\u{ef}ve", "cannot contain 'ï'"),
    ("a b", "cannot contain ' '"),
    ("a*", "cannot contain '*'"),
    ("a%2Fb", "cannot contain '%'"),
    (".", "cannot begin with '.'"),
    ("..", "cannot begin with '.'"),
];

#[test]
fn names_that_are_none_are_refused_and_nothing_is_made() {
    let vault = Vault::start();
    vault.run(&["key", "create", "orders"], b"").expect(0);
    let before = state(&vault);
    let long = "n".repeat(81);
    let bad = BAD.into_iter().chain([(long.as_str(), "81 bytes is too long")]);
    for (n, (name, why)) in bad.enumerate() {
        let commands: [&[&str]; 13] = [
            &["key", "create", name],
            &["key", "show", name],
            &["key", "rotate", name],
            &["key", "delete", name],
            &["key", "create", "fine", "-e", name],
            &["key", "undelete", "orders", "--name", name],
            &["enclave", "create", name],
            &["enclave", "rm", name],
            &["policy", "set", name, "--allow", "key.encrypt:x"],
            &["policy", "rm", name],
            &["identity", "create", name, "--save", "made.toml"],
            &["identity", "create", "fine", "--policy", name, "--save", "made.toml"],
            &["backup", "--output", "made", "--custodian", name],
        ];
        // The first ones everywhere, the others here and there: each is a process.
        let some = commands.into_iter().enumerate().filter(|(at, _)| n < 2 || (at + n) % 4 == 0);
        for (_, command) in some {
            let refused = vault.run(command, b"").expect(13);
            assert!(refused.err.contains(why), "{command:?}: {}", refused.err);
            assert!(refused.out.is_empty(), "{command:?}: {}", refused.text());
        }
        vault.run(&["key", "encrypt", name], b"x").expect(13);
        vault.run(&["key", "decrypt", name], b"x").expect(13);
        vault.run(&["key", "generate", name], b"").expect(13);
        // A custodian is named by name, fingerprint or id; an identity by name or h1:.
        for command in [["custodian", "show", name], ["custodian", "rm", name]] {
            vault.run(&command, b"").expect(13);
        }
        vault.run(&["identity", "rm", name], b"").expect(13);
    }
    // With a dash in front it is an option, unless the shell's user says that it is none.
    vault.run(&["key", "create", "-rf"], b"").expect(2);
    let refused = vault.run(&["key", "create", "--", "-rf"], b"").expect(13);
    assert!(refused.err.contains("cannot begin with '-'"), "{}", refused.err);
    vault.run(&["key", "create"], b"").expect(2);
    assert_eq!(state(&vault), before);
    assert!(!vault.path().join("made.toml").exists());
    assert_eq!(std::fs::read_dir(vault.path()).unwrap().count(), 1 + before_files(&vault));
}

/// What else may lie beside `demo`: an output directory that was made for a backup.
fn before_files(vault: &Vault) -> usize {
    let made = vault.path().join("made");
    usize::from(made.exists() && std::fs::read_dir(made).unwrap().count() == 0)
}

/// Everything that has a name.
fn state(vault: &Vault) -> Vec<String> {
    let lists: [&[&str]; 6] = [
        &["key", "ls", "--json"],
        &["enclave", "ls", "--json"],
        &["policy", "ls", "--json"],
        &["identity", "ls", "--json"],
        &["custodian", "ls", "--json"],
        &["archive", "ls", "--json"],
    ];
    lists.into_iter().map(|list| vault.run(list, b"").expect(0).text()).collect()
}

#[test]
fn an_error_says_whose_name_is_none_and_what_one_may_be() {
    let vault = Vault::start();
    for (command, whose) in [
        (&["key", "create", "k", "-e", "a/b"][..], "the enclave's name cannot contain '/'"),
        (&["key", "create", "a/b"], "the key's name cannot contain '/'"),
        (
            &["policy", "set", "p q", "--empty", "-e", "a/b"],
            "the enclave's name cannot contain '/'",
        ),
        (&["policy", "set", "p q", "--empty"], "the policy's name cannot contain ' '"),
        (&["identity", "create", "x", "--policy", "a/b"], "the policy's name cannot contain '/'"),
        (&["identity", "create", "--", "-x"], "the identity's name cannot begin with '-'"),
        (&["enclave", "create", ""], "the enclave's name is empty"),
    ] {
        let refused = vault.run(command, b"").expect(13);
        assert!(refused.err.contains(whose), "{command:?}: {}", refused.err);
        assert!(refused.err.contains("next: a name has 1 to 80"), "{command:?}: {}", refused.err);
    }
    let refused = vault.run(&["backup", "--custodian", "a/b"], b"").expect(13);
    assert!(refused.err.contains("the custodian's name cannot contain '/'"), "{}", refused.err);
    assert!(refused.err.contains("fingerprint or id"), "{}", refused.err);
}

#[test]
fn an_error_names_what_is_taken_and_what_is_missing() {
    let vault = Vault::start();
    let list = vault.run(&["identity", "ls", "--json"], b"").expect(0).text();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let h1 = list["identities"][0]["identity"].as_str().unwrap();
    let taken = vault.run(&["identity", "create", "z", "--identity", h1], b"").expect(12);
    assert!(taken.err.contains(h1) && taken.err.contains("identity admin"), "{}", taken.err);
    assert!(!taken.err.contains("another name"), "{}", taken.err);
    assert!(taken.err.contains("next: "), "{}", taken.err);
    let taken = vault.run(&["identity", "create", "admin", "--save", "a.toml"], b"").expect(12);
    assert!(taken.err.contains("another name"), "{}", taken.err);

    vault.run(&["key", "create", "orders"], b"").expect(0);
    let id = "00ff".repeat(8);
    let undelete = ["key", "undelete", "orders", "--key-id", &id];
    let missing = vault.run(&undelete, b"").expect(10);
    assert!(missing.err.contains(&id), "{}", missing.err);
}
