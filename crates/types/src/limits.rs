//! Every limit, with its unit and its reason, and how they must relate.

/// Longest name of a key, enclave, policy or identity, in bytes: fits a file name with room for more.
pub const NAME_BYTES_MAX: usize = 80;

/// Bits of a revision below the epoch's number.
pub const EPOCH_SHIFT: u32 = 40;
/// Largest epoch: `EPOCH_MAX << EPOCH_SHIFT` and all below stay exact as JSON numbers (2^53).
pub const EPOCH_MAX: u32 = 8191;

/// Largest integer in an archive's JSON and in the ledger: every reader of JSON is exact up to here (RFC 8259 §6).
pub const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;

/// Largest encoded log entry, in bytes.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Most rows one transaction writes.
pub const TXN_WRITES_MAX: usize = 4096;
/// Longest row key, without the table byte.
pub const ROW_KEY_BYTES_MAX: usize = 256;
/// Largest row body, in bytes.
pub const ROW_BODY_BYTES_MAX: usize = 256 * 1024;

/// Largest plaintext the API takes; larger data wants a data key (`key generate`).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 20;
/// Largest context (AAD) the API takes.
pub const CONTEXT_BYTES_MAX: usize = 64 * 1024;
/// What a ciphertext is longer than its plaintext: version 1 + key id 16 + version 4 + nonce 24 + tag 16.
pub const CIPHERTEXT_OVERHEAD: usize = 61;
/// Largest request body: the largest ciphertext in base64, the context in base64, and JSON around them.
pub const REQUEST_BODY_BYTES_MAX: usize = 2 << 20;

/// Largest manifest and `NAME.json`, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// Largest tar member: its size precedes its data, so this bounds the writer's memory.
pub const MEMBER_BYTES_MAX: usize = 8 << 20;
/// Longest line of records.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Most members of an archive, so that `SHA256SUMS` stays below [`MEMBER_BYTES_MAX`].
pub const MEMBERS_MAX: usize = 65_536;
/// Longest member name.
pub const MEMBER_NAME_BYTES_MAX: usize = 99;
/// Most recipients of an archive.
pub const RECIPIENTS_MAX: usize = 16;
/// Most slots in an archive.
pub const SLOTS_MAX: usize = 64;
/// Largest sealed slot, in bytes.
pub const SLOT_BYTES_MAX: usize = 16 * 1024;
/// Largest detached signature that is read.
pub const SIGNATURE_BYTES_MAX: usize = 16 * 1024;
/// Largest certificate a custodian may bring.
pub const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// Most keys of one page of a listing.
pub const KEYS_PER_PAGE_MAX: u32 = 1000;
/// Most versions of one key: 27 years of a new one each day. A key is read with its versions, and archives hold
/// them all.
pub const KEY_VERSIONS_MAX: u32 = 10_000;
/// Most versions that are shown of one key, the newest.
pub const KEY_VERSIONS_SHOWN_MAX: u32 = 1000;

/// Most rules of one policy.
pub const POLICY_RULES_MAX: usize = 256;
/// Longest rule, in bytes: an action, a colon, a name.
pub const RULE_BYTES_MAX: usize = 256;

const _: () = {
    assert!((EPOCH_MAX as u64) << EPOCH_SHIFT < JSON_INTEGER_MAX);
    assert!(ROW_BODY_BYTES_MAX * 2 < LINE_BYTES_MAX, "a body in hex fits a line");
    assert!(ROW_BODY_BYTES_MAX < ENTRY_BYTES_MAX);
    assert!(CERTIFICATE_BYTES_MAX < ROW_BODY_BYTES_MAX);
    assert!(SLOT_BYTES_MAX < ROW_BODY_BYTES_MAX);
    // two counts, and a length of two bytes for each rule
    assert!(
        POLICY_RULES_MAX * (RULE_BYTES_MAX + 2) + 4 < ROW_BODY_BYTES_MAX,
        "a policy fits a row"
    );
    assert!(LINE_BYTES_MAX < MEMBER_BYTES_MAX);
    // base64 is 4/3; ciphertext and context together with 64 KiB of JSON
    assert!(
        (PLAINTEXT_BYTES_MAX + CIPHERTEXT_OVERHEAD + CONTEXT_BYTES_MAX) / 3 * 4 + 65_536
            < REQUEST_BODY_BYTES_MAX
    );
    // a line of SHA256SUMS: 64 hex, two spaces, the name, a newline
    assert!(
        MEMBERS_MAX * (64 + 2 + 40 + 1) < MEMBER_BYTES_MAX,
        "names of records have less than 40 bytes"
    );
};
