//! Keys through their life.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_service::{Decrypt, Encrypt, Error, Generate, KeyPage, UndeleteKey};
use holdfast_types::{Kind, Version};

use crate::vault::{Vault, admin, n, selector};

fn kind<T>(result: Result<T, Error>) -> Kind {
    result.map(|_| ()).expect_err("refused").kind
}

#[tokio::test]
async fn old_versions_decrypt_after_rotation_and_restart() {
    let vault = Vault::new();
    vault.key("orders").await;
    let first = vault.encrypt(&admin(), "orders", "attack at dawn").await.unwrap();
    let key = vault.service.rotate_key(&admin(), &selector("orders")).await.unwrap();
    assert_eq!(key.version, Version(2));
    let states: Vec<&str> = key.versions.iter().map(|version| version.state).collect();
    assert_eq!(states, ["deactivated", "active"]);
    let second = vault.encrypt(&admin(), "orders", "attack at noon").await.unwrap();
    let vault = vault.restart().await;
    assert_eq!(vault.decrypt(&admin(), &first).await.unwrap(), "attack at dawn");
    assert_eq!(vault.decrypt(&admin(), &second).await.unwrap(), "attack at noon");
}

#[tokio::test]
async fn of_very_many_versions_the_newest_are_shown() {
    let vault = Vault::new();
    vault.key("orders").await;
    let first = vault.encrypt(&admin(), "orders", "attack at dawn").await.unwrap();
    for _ in 0..1001 {
        vault.service.rotate_key(&admin(), &selector("orders")).await.unwrap();
    }
    let shown = vault.service.show_key(&admin(), &selector("orders")).await.unwrap();
    assert_eq!((shown.version, shown.versions.len()), (Version(1002), 1000));
    assert_eq!(shown.versions[0].version, Version(3));
    let active = shown.versions.iter().filter(|version| version.state == "active");
    assert_eq!(active.map(|version| version.version).collect::<Vec<_>>(), [Version(1002)]);
    assert_eq!(vault.decrypt(&admin(), &first).await.unwrap(), "attack at dawn");
}

/// A key that was changed is read back, and on the spot: a thread aside has memory of its own, and each caller would
/// take one.
#[test]
fn many_who_create_and_show_keys_take_no_thread_each() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = started.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    runtime.block_on(async {
        let vault = Arc::new(Vault::new());
        vault.key("first").await;
        let before = started.load(Ordering::Relaxed);
        let one = async |vault: &Vault, caller: usize| {
            for turn in 0..8 {
                let name = format!("key-{caller}-{turn}");
                vault.key(&name).await;
                vault.service.show_key(&admin(), &selector(&name)).await.unwrap();
            }
        };
        let callers: Vec<_> = (0..32)
            .map(|caller| {
                let vault = vault.clone();
                tokio::spawn(async move { one(&vault, caller).await })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let taken = started.load(Ordering::Relaxed) - before;
        // Checkpoints take one, and disks are looked at.
        assert!(taken <= 3, "{taken} threads were started");
    });
}

#[tokio::test]
async fn a_version_tells_when_it_changed() {
    let vault = Vault::new();
    vault.key("orders").await;
    let made = vault.service.show_key(&admin(), &selector("orders")).await.unwrap();
    assert_eq!(made.versions[0].changed, made.created);
    vault.set_clock(60_000);
    let rotated = vault.service.rotate_key(&admin(), &selector("orders")).await.unwrap();
    assert_eq!(rotated.created, made.created);
    // The old one was made earlier, and was put out of use when the new one was made.
    let changed: Vec<_> = rotated.versions.iter().map(|version| version.changed).collect();
    assert_eq!(changed[0], changed[1]);
    assert!(changed[0] > made.created, "{changed:?}");
}

#[tokio::test]
async fn a_deleted_key_stops_every_use_and_comes_back() {
    let vault = Vault::new();
    vault.key("orders").await;
    let note = vault.encrypt(&admin(), "orders", "note").await.unwrap();
    vault.service.delete_key(&admin(), &selector("orders")).await.unwrap();
    assert_eq!(kind(vault.encrypt(&admin(), "orders", "x").await), Kind::NotFound);
    let error = vault.decrypt(&admin(), &note).await.unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.next.unwrap().contains("undelete"));
    assert_eq!(kind(vault.service.rotate_key(&admin(), &selector("orders")).await), Kind::NotFound);

    // The name is free; the new key is never mistaken for the old one.
    vault.key("orders").await;
    assert_eq!(kind(vault.decrypt(&admin(), &note).await), Kind::Refused);
    let mut undelete = UndeleteKey { key: selector("orders"), name: None, key_id: None };
    assert_eq!(kind(vault.service.undelete_key(&admin(), &undelete).await), Kind::Exists);
    undelete.name = Some(n("orders-old"));
    let back = vault.service.undelete_key(&admin(), &undelete).await.unwrap();
    assert_eq!((back.name.as_str(), back.state), ("orders-old", "active"));
    assert_eq!(vault.decrypt(&admin(), &note).await.unwrap(), "note");
}

#[tokio::test]
async fn the_wrong_key_context_or_bytes_are_told_apart_where_that_is_safe() {
    let vault = Vault::new();
    vault.key("a").await;
    vault.key("b").await;
    let (enclave, a, b) = (n("default"), n("a"), n("b"));
    let request = Encrypt { enclave: &enclave, key: &a, context: b"ctx", plaintext: b"text" };
    let sealed = vault.service.encrypt(&admin(), request).await.unwrap();
    let ciphertext = sealed.ciphertext.as_slice();
    let decrypt = |key, context: &'static [u8], ciphertext: Vec<u8>| {
        let service = vault.service.clone();
        async move {
            let request = Decrypt { key, context, ciphertext: &ciphertext };
            service
                .decrypt(&admin(), request)
                .await
                .map(|done| done.plaintext.expose_secret().to_vec())
        }
    };
    assert_eq!(decrypt(None, b"ctx", ciphertext.to_vec()).await.unwrap(), b"text");
    let error = decrypt(Some((&enclave, &b)), b"ctx", ciphertext.to_vec()).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotAuthentic);
    assert!(error.message.contains("default/a"), "an administrator may read the name: {error}");
    // A wrong context, a flip and a cut body look alike.
    let mut flipped = ciphertext.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let cut = ciphertext[..ciphertext.len() - 1].to_vec();
    let wrong = [
        decrypt(None, b"other", ciphertext.to_vec()).await.unwrap_err(),
        decrypt(None, b"ctx", flipped).await.unwrap_err(),
        decrypt(None, b"ctx", cut).await.unwrap_err(),
    ];
    for error in &wrong {
        assert_eq!((error.kind, &error.message), (Kind::NotAuthentic, &wrong[0].message));
    }
    assert_eq!(kind(decrypt(None, b"ctx", ciphertext[..60].to_vec()).await), Kind::BadInput);
    let mut format = ciphertext.to_vec();
    format[0] = 2;
    assert_eq!(kind(decrypt(None, b"ctx", format).await), Kind::Newer);
    let mut unknown = ciphertext.to_vec();
    unknown[1] ^= 1;
    assert_eq!(kind(decrypt(None, b"ctx", unknown).await), Kind::NotFound);
}

#[tokio::test]
async fn a_data_key_comes_back_and_a_large_text_is_pointed_to_it() {
    let vault = Vault::new();
    vault.key("k").await;
    let (enclave, key) = (n("default"), n("k"));
    let request = Generate { enclave: &enclave, key: &key, context: b"c" };
    let made = vault.service.generate(&admin(), request).await.unwrap();
    let request = Decrypt { key: None, context: b"c", ciphertext: &made.ciphertext };
    let opened = vault.service.decrypt(&admin(), request).await.unwrap();
    assert_eq!(opened.plaintext, made.plaintext);
    let text = "x".repeat((1 << 20) + 1);
    let error = vault.encrypt(&admin(), "k", &text).await.unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge);
    assert!(error.next.unwrap().contains("key generate"));
}

#[tokio::test]
async fn listings_come_in_pages() {
    let vault = Vault::new();
    for i in 0..7 {
        vault.key(&format!("k{i}")).await;
    }
    let mut page = KeyPage { limit: Some(3), ..KeyPage::default() };
    let mut names = Vec::new();
    loop {
        let list = vault.service.list_keys(&admin(), &n("default"), &page).await.unwrap();
        names.extend(list.keys.iter().map(|key| key.name.to_string()));
        match list.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
}

#[tokio::test]
async fn deleted_keys_are_listed_all_of_a_name_on_one_page() {
    let vault = Vault::new();
    for name in ["b", "a", "b", "c", "b", "d"] {
        vault.key(name).await;
        if name != "d" {
            vault.service.delete_key(&admin(), &selector(name)).await.unwrap();
        }
    }
    let page = |after: Option<&str>| KeyPage { after: after.map(n), limit: Some(2), deleted: true };
    let list = vault.service.list_keys(&admin(), &n("default"), &page(None)).await.unwrap();
    let names: Vec<_> = list.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!((names, list.next.clone()), (vec!["a", "b", "b", "b"], Some(n("b"))));
    assert!(list.keys.iter().all(|key| key.state == "deleted" && key.deleted.is_some()));
    let rest = vault.service.list_keys(&admin(), &n("default"), &page(Some("b"))).await.unwrap();
    let names: Vec<_> = rest.keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!((names, rest.next), (vec!["c"], None));
    // The one that `undelete` takes where no id is given comes first.
    let undelete = UndeleteKey { key: selector("b"), name: None, key_id: None };
    let back = vault.service.undelete_key(&admin(), &undelete).await.unwrap();
    assert_eq!(back.key_id, list.keys[1].key_id);
    let none = UndeleteKey { key: selector("x"), name: None, key_id: None };
    let error = vault.service.undelete_key(&admin(), &none).await.unwrap_err();
    assert!(error.next.unwrap().contains("key ls --deleted -e default"));
}

#[tokio::test]
async fn many_writers_of_one_key_all_get_their_turn() {
    const WRITERS: u32 = 64;
    let vault = Vault::new();
    vault.key("k").await;
    let mut rotating = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let service = vault.service.clone();
        rotating.spawn(async move {
            service.rotate_key(&admin(), &selector("k")).await.map(|key| key.version)
        });
    }
    let versions: Result<std::collections::BTreeSet<Version>, _> =
        rotating.join_all().await.into_iter().collect();
    assert_eq!(versions.unwrap(), (2..WRITERS + 2).map(Version).collect(), "each its own");
    let key = vault.service.show_key(&admin(), &selector("k")).await.unwrap();
    assert_eq!(key.version, Version(WRITERS + 1));
    assert_eq!(key.versions.iter().filter(|version| version.state == "active").count(), 1);
}
