//! Who can open the archives that exist: `status` and `archive show` tell, however custodians come and go.

use serde_json::Value;

use crate::vault::Vault;

impl Vault {
    fn json(&self, args: &[&str]) -> Value {
        let args = [args, &["--json"]].concat();
        serde_json::from_str(&self.run(&args, b"").expect(0).text()).unwrap()
    }

    /// The level and next step of the weak point that says so.
    fn warned(&self, what: &str) -> Option<(String, String)> {
        let status = self.json(&["status"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut warnings = status["warnings"].as_array().unwrap().iter();
        let found = warnings.find(|one| text(&one["what"]).contains(what))?;
        Some((text(&found["level"]), text(&found["next"])))
    }
}

#[test]
fn who_cannot_open_what_is_stored_is_told_until_they_can() {
    let vault = Vault::start();
    let first = vault.json(&["custodian", "ls"])["custodians"][0].clone();
    let first = |field: &str| first[field].as_str().unwrap().to_owned();
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let next = holdfast_seal::generate_custodian("Next", holdfast_types::Millis(now)).unwrap();
    std::fs::write(vault.path().join("next.asc"), next.1).unwrap();
    let (not_for_next, for_nobody) = ("does not open for Next", "no stored archive opens");
    assert_eq!(vault.warned(not_for_next), None);

    vault.run(&["custodian", "add", "next.asc"], b"").expect(0);
    let (level, step) = vault.warned(not_for_next).expect("no archive is sealed to Next");
    assert_eq!(level, "warning");
    assert!(step.starts_with("holdfast backup "), "{step}");
    // To the other one alone, named as the sheet prints it: that mends nothing.
    let sheet = vault.run(&["sheet"], b"").expect(0).text();
    let printed: Vec<String> = first("fingerprint")
        .as_bytes()
        .chunks(4)
        .map(|four| String::from_utf8_lossy(four).into())
        .collect();
    let printed = printed.join(" ");
    assert!(sheet.contains(&printed), "{sheet}");
    for one in
        [&printed, &first("fingerprint").to_lowercase(), &first("custodian_id"), &first("name")]
    {
        let made = vault.json(&["backup", "--output", "out", "--custodian", one]);
        let shown = vault.json(&["archive", "show", made["archive_id"].as_str().unwrap()]);
        assert_eq!(shown["custodians"], serde_json::json!([first("name")]), "{one}");
    }
    assert!(vault.warned(not_for_next).is_some());
    vault.run(&["custodian", "show", &printed], b"").expect(0);

    // Removed: nobody who is there opens anything.
    vault.run(&["custodian", "rm", &printed], b"").expect(0);
    let (level, step) = vault.warned(for_nobody).expect("only the removed one opens an archive");
    assert_eq!(level, "critical");
    assert!(step.starts_with("holdfast backup "), "{step}");
    let page = vault.run(&["archive", "show", &archive(&vault)], b"").expect(0).text();
    assert!(page.contains(&format!("custodians  {}\n", first("custodian_id"))), "{page}");
    vault.run(&["backup", "--output", "out"], b"").expect(0);
    assert_eq!((vault.warned(for_nobody), vault.warned(not_for_next)), (None, None));
    let page = vault.run(&["archive", "show", &archive(&vault)], b"").expect(0).text();
    assert!(page.contains("custodians  Next\n"), "{page}");
}

/// The newest archive's name.
fn archive(vault: &Vault) -> String {
    vault.json(&["archive", "ls"])["archives"][0]["name"].as_str().unwrap().to_owned()
}
