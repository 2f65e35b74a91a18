//! The wire types as other programs see them: the JSON is a contract, so it is written out here.

#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

mod openapi;

use holdfast_api::wire;
use holdfast_types::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `text` reads, and writes back as itself.
fn same<T: Serialize + DeserializeOwned>(text: &str) {
    let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(serde_json::to_string(&value).unwrap(), text);
}

fn refused<T: DeserializeOwned>(text: &str) {
    assert!(serde_json::from_str::<T>(text).is_err(), "{text}");
}

#[test]
fn requests_read_and_write_back() {
    same::<wire::Named>(r#"{"name":"orders"}"#);
    same::<wire::Encrypt>(r#"{"plaintext":"aGk=","context":"AA=="}"#);
    same::<wire::Encrypt>(r#"{"plaintext":""}"#);
    same::<wire::Decrypt>(r#"{"ciphertext":"AQID"}"#);
    same::<wire::Generate>("{}");
    same::<wire::Undelete>("{}");
    same::<wire::Undelete>(r#"{"name":"b","key_id":"00ff"}"#);
    same::<wire::Rules>(r#"{"allow":["key.encrypt:orders-*"],"deny":[]}"#);
    same::<wire::Rules>(r#"{"deny":[]}"#);
    same::<wire::NewIdentity>(r#"{"name":"app","identity":"h1:x","privilege":"admin"}"#);
    same::<wire::NewIdentity>(
        r#"{"name":"app","identity":"h1:x","privilege":"user","enclave":"e","policy":"p"}"#,
    );
    same::<wire::NewCustodian>(r#"{"name":"ada","certificate":"mDM="}"#);
    same::<wire::NewBackup>(r#"{"to":"client","custodians":["ada"]}"#);
    same::<wire::Stored>(r#"{"sha256":"00","size":1,"place":"nas"}"#);
    same::<wire::Drill>(
        r#"{"archive_id":"00","mode":"full","elapsed_ms":1,"versions":2,"digest":"ab","sha256":"cd","custodian_id":"ef"}"#,
    );
}

#[test]
fn replies_read_and_write_back() {
    same::<wire::Enclaves>(r#"{"enclaves":[{"name":"e","enclave_id":"00","state":"open"}]}"#);
    same::<wire::Keys>(
        r#"{"keys":[{"name":"k","enclave":"e","key_id":"00","kind":"aes256","state":"active","version":1,"created":5,"deleted":null,"versions":null}],"next":"k"}"#,
    );
    same::<wire::Key>(
        r#"{"name":"k","enclave":"e","key_id":"00","kind":"aes256","state":"active","version":1,"created":5,"deleted":null,"versions":[{"version":1,"state":"active","changed":5}]}"#,
    );
    same::<wire::Encrypted>(r#"{"ciphertext":"AQID","key_id":"00","version":4294967295}"#);
    same::<wire::Decrypted>(
        r#"{"plaintext":"aGk=","key_id":"00","version":1,"name":"k","enclave":"e"}"#,
    );
    same::<wire::Generated>(
        r#"{"plaintext":"aGk=","ciphertext":"AQID","key_id":"00","version":1}"#,
    );
    same::<wire::Backup>(r#"{"job_id":"00","archive_id":"01","name":"n","file":"n.tar.pgp"}"#);
    same::<wire::BackupState>(
        r#"{"state":"running","phase":"sealing","size":18446744073709551615,"verified":false,"place":null,"sha256":null,"code":null,"message":null,"next":null}"#,
    );
    same::<wire::CustodianRemoved>(
        r#"{"name":"ada","custodian_id":"00","fingerprint":"AB","added":1,"expires":null,"slot_id":null,"note":"n"}"#,
    );
    same::<wire::Failure>(r#"{"error":{"code":"x","exit":1,"message":"m","next":null}}"#);
    same::<wire::Sidecars>(
        r#"{"name":"n","json":"e30=","signature":"AA==","sha256":"00","size":9}"#,
    );
}

#[test]
fn a_field_nobody_knows_is_refused_in_requests_and_passed_over_in_replies() {
    refused::<wire::Named>(r#"{"name":"a","nam":"b"}"#);
    refused::<wire::Encrypt>(r#"{"plaintext":"","contxt":"AA=="}"#);
    refused::<wire::Decrypt>(r#"{"ciphertext":"","contxt":"AA=="}"#);
    refused::<wire::Rules>(r#"{"allow":[],"denied":["*:*"]}"#);
    refused::<wire::NewIdentity>(r#"{"name":"a","identity":"b","privilege":"user","polcy":"p"}"#);
    refused::<wire::NewBackup>(r#"{"to":"vault","custodian":["ada"]}"#);
    // An older client reads a newer server's reply.
    let text = r#"{"ciphertext":"AQID","key_id":"00","version":1,"later":true}"#;
    assert_eq!(serde_json::from_str::<wire::Encrypted>(text).unwrap().version, 1);
}

#[test]
fn what_is_missing_or_twice_is_refused() {
    refused::<wire::Named>("{}");
    refused::<wire::Encrypt>(r#"{"context":"AA=="}"#);
    refused::<wire::Encrypt>(r#"{"plaintext":"AA==","plaintext":"AQ=="}"#);
    refused::<wire::Decrypt>(r#"{"ciphertext":[1,2,3]}"#);
    refused::<wire::Stored>(r#"{"sha256":"00","size":-1,"place":"nas"}"#);
}

#[test]
fn every_kind_of_failure_travels() {
    for kind in Kind::ALL {
        let error = wire::FailureBody {
            code: kind.code().to_owned(),
            exit: kind.exit_code(),
            message: "no key x".to_owned(),
            next: None,
        };
        let text = serde_json::to_string(&wire::Failure { error: error.clone() }).unwrap();
        let back: wire::Failure = serde_json::from_str(&text).unwrap();
        assert_eq!(back.error, error);
        assert_eq!(back.error.code.parse(), Ok(kind));
    }
}
