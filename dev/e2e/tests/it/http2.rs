//! HTTP/2 as curl speaks it: a refusal arrives, whatever the vault left unread of the request.

use holdfast_e2e::{Host, block, free_port};

#[test]
fn refusals_of_requests_with_a_body_arrive() {
    let host = Host::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let _dev = host.dev("demo", &listen);
    let policy = block("README.md", "policy");
    let script = format!(
        r#"
{policy}
openssl req -x509 -newkey ed25519 -nodes -subj /CN=web -days 3650 -keyout web.key -out web.crt
holdfast key create orders-1
holdfast identity create web --policy app --certificate web.crt --save-ca ca.pem
KEY=https://{listen}/api/v1/enclaves/default/keys/orders-1
call() {{ curl -sS --cacert ca.pem --cert web.crt --key web.key -H 'content-type: application/json' \
    -o /dev/null -w '%{{http_code}} %{{http_version}}\n' "$@"; }}
for n in $(seq 15); do
    call "$KEY/nope" -d '{{"plaintext":"aGk="}}'
    call -X PUT "$KEY/encrypt" -d '{{"plaintext":"aGk="}}'
    call "$KEY/encrypt?version=9" -d '{{"plaintext":"aGk="}}'
    call -X GET "$KEY" -d '{{}}'
    call "$KEY/encrypt" -d '{{"plaintext":"aGk="}}'
done
"#
    );
    let out = host.script("demo/context.toml", &script);
    let codes: Vec<&str> = out.lines().filter(|line| line.ends_with(" 2")).collect();
    assert_eq!(codes.len(), 75, "{out}");
    for five in codes.chunks(5) {
        assert_eq!(five, ["404 2", "405 2", "400 2", "403 2", "200 2"], "{out}");
    }
}
