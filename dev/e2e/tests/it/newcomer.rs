//! The README as it stands, as this user and as one who owns nothing else; what `server --dev` prints.

use holdfast_e2e::{Host, NOBODY, block, five_minutes, free_port, is_root, not_tested};

/// The README's block as pasted; only the port differs, so that the test does not meet another server.
fn first_five_minutes(host: &Host) {
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let block = five_minutes()
        .replace(
            "--context again.toml --yes",
            &format!("--context again.toml --yes --listen {listen}"),
        )
        .replace("server --data again &", "server --data again & SERVER=$!");
    assert!(block.contains(&listen) && block.contains("SERVER="), "the block changed: {block}");
    let out = host.script("demo/context.toml", &format!("trap 'kill $SERVER' EXIT\n{block}"));
    assert_eq!(out.matches("attack at dawn").count(), 2, "before and after the disaster\n{out}");
    assert!(out.contains("signed and whole, not opened"), "{out}");
    assert!(out.contains("recorded as ledger entry"), "{out}");
    let sheet = host.read("sheet.txt");
    assert!(sheet.contains("holdfast restore"), "{sheet}");
    assert!(!sheet.contains("k1:") && !sheet.contains("PRIVATE"), "no secret\n{sheet}");
}

#[test]
fn the_readme_works_as_pasted() {
    first_five_minutes(&Host::new());
}

/// Whoever owns nothing but the directory, and whose home cannot be written.
#[test]
fn the_readme_works_as_pasted_by_nobody() {
    if is_root() {
        first_five_minutes(&Host::of(NOBODY));
    } else {
        not_tested("only root can become another user");
    }
}

/// A vault for real, at another address than its administrator's context says, called by a name and by curl.
#[test]
fn the_readme_works_as_pasted_from_another_host_and_from_a_program() {
    let host = Host::new();
    let (first, then) = (free_port(), free_port());
    let init =
        format!("holdfast init --data v --no-custodian --soft-key s --listen localhost:{first}");
    let said = host.script("admin.toml", &format!("{init} 2>&1"));
    assert!(said.contains("holdfast custodian add CERTIFICATE_FILE"), "{said}");
    assert!(said.contains("there is no archive yet") && !said.contains("own disk"), "{said}");
    let server = host.serve(&["--data", "v"]);
    let _made = host.script("admin.toml", &block("README.md", "policy"));
    assert_eq!(server.stop(), Some(0));

    let by_name = block("README.md", "by-name")
        .replace("/srv/vault", "v")
        .replace("vault.example:7373", &format!("localhost:{then}"))
        .replace(" &\n", " > served & SERVER=$!\n");
    let curl = block("README.md", "curl").replace("127.0.0.1:7373", &format!("localhost:{then}"));
    let elsewhere = block("README.md", "elsewhere");
    assert!(by_name.contains("SERVER=") && curl.contains(&format!(":{then}/")), "they changed");
    let out = host.script(
        "admin.toml",
        &format!("{by_name}trap 'kill $SERVER' EXIT\n{curl}(unset HOLDFAST_SERVER\n{elsewhere})"),
    );
    assert!(out.contains("attack at dusk\n") && out.ends_with("attack at noon\n"), "{out}");
    let served = host.read("served");
    let address = format!("https://localhost:{then}");
    assert!(served.starts_with(&format!("serving on {address}\n")), "{served}");
    let moved =
        format!("admin.toml says https://localhost:{first}: clients use HOLDFAST_SERVER={address}");
    assert!(served.contains(&moved), "{served}");
}

/// `--listen :PORT` is every address of IPv4, and none that a client could call.
#[test]
fn a_server_names_an_address_that_works() {
    let host = Host::new();
    let port = free_port();
    let server = host.dev("demo", &format!(":{port}"));
    let said = host.read("server.out");
    assert!(said.contains(&format!("serving on https://127.0.0.1:{port}\n")), "{said}");
    assert!(said.contains(&format!("  at 0.0.0.0:{port}, by the names localhost, ")), "{said}");
    let ls = format!("HOLDFAST_SERVER=https://127.0.0.1:{port} holdfast enclave ls -q");
    assert_eq!(host.script("demo/context.toml", &ls), "default\n");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_line_to_paste_works_from_anywhere_with_spaces_and_quotes_in_it() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("it's a demo", &listen);
    let said = host.read("server.out");
    let line = said.lines().map(str::trim).find(|line| line.starts_with("export PATH="));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let script = format!("cd /\nPATH=/usr/bin:/bin\n{line}\nholdfast key create orders --quiet");
    assert_eq!(host.script("nowhere", &script), "orders\n");
}

#[test]
fn dev_says_what_it_made_how_long_it_took_and_what_it_is_not_for() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let dev = host.dev("demo", &listen);
    let said = host.read("server.out");
    for part in [
        "made vault ",
        "first archive in ",
        "first byte drill in ",
        "first full drill in ",
        "WITHOUT a passphrase",
        "Never use --dev for keys that matter",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    let mut made: Vec<_> = std::fs::read_dir(host.path("demo"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    let all = ["archives", "context.toml", "custodian.asc", "data", "server.pid", "soft.key"];
    assert_eq!(made, all);
    assert_eq!(dev.stop(), Some(0));
    assert!(!host.path("demo/server.pid").exists(), "a proper stop removes it");

    // Run again, it only starts; also beside the number of a process that is no more.
    host.dev("demo", &listen).kill();
    let stale = host.read("demo/server.pid");
    let _dev = host.dev("demo", &listen);
    assert!(!host.read("server.out").contains("made vault"));
    assert_ne!(host.read("demo/server.pid"), stale);
}

/// Whose home is of no use is told which flag says where things go, and nothing half-made stays.
#[test]
fn a_home_of_no_use_is_named_with_the_flag_that_helps() {
    let host = if is_root() { Host::of(NOBODY) } else { Host::new() };
    let out = host.script(
        "c.toml",
        "try() { code=0; \"$@\" 2> said || code=$?; echo $code; cat said; }
        try holdfast init --data v --no-custodian
        test ! -e v/vault.json; test ! -e c.toml
        try holdfast init --data $HOME/v --no-custodian --soft-key s.key
        try holdfast init --data v --no-custodian --soft-key s.key
        env -u HOME -u HOLDFAST_CONTEXT holdfast verify none || test $? = 10",
    );
    let said: Vec<&str> = out.lines().collect();
    assert_eq!(said[0], "33", "{out}");
    assert!(said[2].contains("--soft-key FILE"), "{out}");
    assert_eq!(said[3], "1", "{out}");
    assert!(said[5].contains("check who may use that path"), "{out}");
    assert!(said[6].starts_with("vault "), "{out}");
}
