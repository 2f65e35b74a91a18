//! Which crate may depend on which: the arrows of `ARCHITECTURE.md`, one row a crate.
//!
//! A row lists a crate's direct dependencies among our own; every crate may use `types`. Development
//! dependencies are free, since they ship in nothing.

/// (crate, what it depends on besides `types`): no more, so that a new arrow is drawn here first, and no
/// less, so that the picture stays true.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("crypto", &[]),
    ("fs", &[]),
    ("records", &[]),
    ("ledger", &[]),
    ("machine", &[]),
    ("keys", &["records"]),
    ("seal", &["crypto"]),
    ("keyring", &["crypto", "records"]),
    ("store", &["machine", "fs"]),
    ("cluster", &["machine", "store", "fs"]),
    ("recovery", &["records", "seal", "keyring", "machine", "fs", "crypto"]),
    (
        "service",
        &[
            "records", "ledger", "machine", "keys", "keyring", "cluster", "recovery", "seal", "fs",
            "store", "crypto",
        ],
    ),
    ("api", &["service"]),
    ("client", &["api"]),
    (
        "node",
        // `client`: init and restore write the client's context; `ledger`: their first entries.
        &[
            "api", "client", "service", "cluster", "store", "recovery", "keyring", "fs", "seal",
            "machine", "records", "crypto", "ledger",
        ],
    ),
    ("holdfast", &["node", "client", "api", "recovery", "seal", "fs"]),
];

/// Crates whose own code has no clock, randomness, thread, file or socket: those arrive in
/// arguments, so that every node computes the same.
pub const PURE: &[&str] = &["types", "records", "ledger", "machine", "keys"];

/// What a pure crate's source must not name.
pub const IMPURE: &[&str] = &[
    "std::fs",
    "std::io",
    "std::net",
    "std::thread",
    "std::process",
    // Each module of the standard library on a line of its own, so that those above are found.
    "std::{",
    "SystemTime",
    "Instant::now",
    "rand::",
    "getrandom",
    "tokio::",
];

/// (word, the crates whose sources may name it, why).
pub const KEPT: &[(&str, &[&str], &str)] = &[
    ("xaes256gcm", &["crypto", "keyring"], "only the keyring wraps and unwraps"),
    ("openraft::", &["cluster"], "Raft can be exchanged in one place"),
    ("redb::", &["store"], "the embedded store can be exchanged in one place"),
    ("pgp::", &["seal"], "OpenPGP can be exchanged in one place"),
];
