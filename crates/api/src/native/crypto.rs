//! Encrypt, decrypt, generate: the hot path. Nothing here awaits unless a record is missing.

use axum::body::HttpBody;
use axum::response::Response;
use bytes::Bytes;
use holdfast_service::{Action, Decrypt, Encrypt, Generate};
use holdfast_types::Name;
use http::{Method, Uri};

use crate::body::Body;
use crate::error::Failed;
use crate::extract::{Call, On, Path};
use crate::{reply, wire};

/// An operation, and what its path says of the key: the enclave and the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation<'a> {
    Encrypt(&'a str, &'a str),
    DecryptWith(&'a str, &'a str),
    Decrypt,
    Generate(&'a str, &'a str),
}

impl<'a> Operation<'a> {
    /// What a request asks for, where its path is spelt as usual. Any other spelling of it, with escapes or a
    /// query, is for the router, which leads here as well.
    pub(crate) fn of(method: &Method, uri: &'a Uri) -> Option<Self> {
        if method != Method::POST || uri.query().is_some() {
            return None;
        }
        let path = uri.path().strip_prefix("/api/v1/")?;
        if path == "decrypt" {
            return Some(Self::Decrypt);
        }
        let (enclave, rest) = path.strip_prefix("enclaves/")?.split_once('/')?;
        let (key, operation) = rest.strip_prefix("keys/")?.split_once('/')?;
        if enclave.is_empty() || key.is_empty() || path.contains('%') {
            return None;
        }
        match operation {
            "encrypt" => Some(Self::Encrypt(enclave, key)),
            "decrypt" => Some(Self::DecryptWith(enclave, key)),
            "generate" => Some(Self::Generate(enclave, key)),
            _ => None,
        }
    }

    pub(crate) async fn answer<B: HttpBody<Data = Bytes> + Unpin>(
        self,
        call: &Call,
        body: Body<B>,
    ) -> Result<Response, Failed> {
        match self {
            Self::Encrypt(enclave, key) => encrypt(call, enclave, key, body).await,
            Self::DecryptWith(enclave, key) => {
                let action = Action::KeyDecrypt;
                let request = call.body(action, On::Within(enclave, key), body).await?;
                let names = names(call, action, enclave, key)?;
                decrypt(call, Some((&names.0, &names.1)), &request).await
            }
            Self::Decrypt => {
                let request = call.body(Action::KeyDecrypt, On::Other(""), body).await?;
                decrypt(call, None, &request).await
            }
            Self::Generate(enclave, key) => generate(call, enclave, key, body).await,
        }
    }
}

async fn encrypt<B: HttpBody<Data = Bytes> + Unpin>(
    call: &Call,
    enclave: &str,
    key: &str,
    body: Body<B>,
) -> Result<Response, Failed> {
    let action = Action::KeyEncrypt;
    let request: wire::Encrypt = call.body(action, On::Within(enclave, key), body).await?;
    let (enclave, key) = names(call, action, enclave, key)?;
    let (plaintext, context) = (&request.plaintext[..], &request.context.0[..]);
    let request = Encrypt { enclave: &enclave, key: &key, context, plaintext };
    let done = call.service.encrypt(&call.caller, request).await?;
    Ok(reply::encrypted(&done))
}

async fn decrypt(
    call: &Call,
    key: Option<(&Name, &Name)>,
    request: &wire::Decrypt,
) -> Result<Response, Failed> {
    let (context, ciphertext) = (&request.context.0[..], &request.ciphertext.0[..]);
    let done = call.service.decrypt(&call.caller, Decrypt { key, context, ciphertext }).await?;
    Ok(reply::decrypted(&done))
}

async fn generate<B: HttpBody<Data = Bytes> + Unpin>(
    call: &Call,
    enclave: &str,
    key: &str,
    body: Body<B>,
) -> Result<Response, Failed> {
    let action = Action::KeyGenerate;
    let request: wire::Generate = call.body(action, On::Within(enclave, key), body).await?;
    let (enclave, key) = names(call, action, enclave, key)?;
    let request = Generate { enclave: &enclave, key: &key, context: &request.context.0 };
    let done = call.service.generate(&call.caller, request).await?;
    Ok(reply::generated(&done))
}

fn names(call: &Call, action: Action, enclave: &str, key: &str) -> Result<(Name, Name), Failed> {
    Ok((call.name(action, "the enclave", enclave)?, call.name(action, "the key", key)?))
}

/// The handlers of the router.
pub(crate) mod routed {
    use super::*;

    type Key = Path<(String, String)>;

    pub(crate) async fn encrypt(
        call: Call,
        Path((enclave, key)): Key,
        body: Body,
    ) -> Result<Response, Failed> {
        Operation::Encrypt(&enclave, &key).answer(&call, body).await
    }

    pub(crate) async fn decrypt_with(
        call: Call,
        Path((enclave, key)): Key,
        body: Body,
    ) -> Result<Response, Failed> {
        Operation::DecryptWith(&enclave, &key).answer(&call, body).await
    }

    pub(crate) async fn decrypt(call: Call, body: Body) -> Result<Response, Failed> {
        Operation::Decrypt.answer(&call, body).await
    }

    pub(crate) async fn generate(
        call: Call,
        Path((enclave, key)): Key,
        body: Body,
    ) -> Result<Response, Failed> {
        Operation::Generate(&enclave, &key).answer(&call, body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, path: &str) -> Option<String> {
        let uri: Uri = path.parse().expect("a path");
        Operation::of(&method, &uri).map(|operation| format!("{operation:?}"))
    }

    #[test]
    fn paths_as_clients_write_them_are_operations() {
        let post = |path: &str| of(Method::POST, path);
        let key = "/api/v1/enclaves/e/keys/k";
        assert_eq!(post(&format!("{key}/encrypt")).unwrap(), r#"Encrypt("e", "k")"#);
        assert_eq!(post(&format!("{key}/decrypt")).unwrap(), r#"DecryptWith("e", "k")"#);
        assert_eq!(post(&format!("{key}/generate")).unwrap(), r#"Generate("e", "k")"#);
        assert_eq!(post("/api/v1/decrypt").unwrap(), "Decrypt");
        assert_eq!(post("https://h:1/api/v1/decrypt").unwrap(), "Decrypt");
        for other in [
            "/api/v1/enclaves/e/keys/%6b/encrypt",
            "/api/v1/enclaves/e/keys/k/encrypt?",
            "/api/v1/enclaves/e/keys/k/encrypt?a=b",
            "/api/v1/enclaves/e/keys/k/encrypt/",
            "/api/v1/enclaves/e/keys/k/rotate",
            "/api/v1/enclaves/e/keys//encrypt",
            "/api/v1/enclaves//keys/k/encrypt",
            "/api/v1/enclaves/e/keys/k/l/encrypt",
            "/api/v1/enclaves/e/policies/k/encrypt",
            "/api/v1/decrypt/",
            "/api/v1/enclaves/e/keys/encrypt",
            "/api/v2/decrypt",
            "/decrypt",
        ] {
            assert_eq!(post(other), None, "{other}");
        }
        assert_eq!(of(Method::GET, "/api/v1/decrypt"), None);
    }
}
