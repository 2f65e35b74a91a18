//! Encrypt, decrypt, generate: the hot path. Nothing here awaits unless a record is missing.

use axum::response::Response;
use holdfast_service::{Action, Decrypt, Encrypt, Generate};
use holdfast_types::Name;

use crate::error::Failed;
use crate::extract::{Body, Call, On, Path};
use crate::{reply, wire};

pub(crate) async fn encrypt(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Failed> {
    let action = Action::KeyEncrypt;
    let request: wire::Encrypt = call.body(action, On::Within(&enclave, &key), body).await?;
    let (enclave, key) = names(&call, action, &enclave, &key)?;
    let (plaintext, context) = (&request.plaintext.0[..], &request.context.0[..]);
    let request = Encrypt { enclave: &enclave, key: &key, context, plaintext };
    let done = call.service.encrypt(&call.caller, request).await?;
    Ok(reply::encrypted(&done))
}

pub(crate) async fn decrypt_with(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Failed> {
    let action = Action::KeyDecrypt;
    let request = call.body(action, On::Within(&enclave, &key), body).await?;
    let names = names(&call, action, &enclave, &key)?;
    decrypt_any(&call, Some((&names.0, &names.1)), &request).await
}

pub(crate) async fn decrypt(call: Call, body: Body) -> Result<Response, Failed> {
    let request = call.body(Action::KeyDecrypt, On::Other(""), body).await?;
    decrypt_any(&call, None, &request).await
}

async fn decrypt_any(
    call: &Call,
    key: Option<(&Name, &Name)>,
    request: &wire::Decrypt,
) -> Result<Response, Failed> {
    let (context, ciphertext) = (&request.context.0[..], &request.ciphertext.0[..]);
    let done = call.service.decrypt(&call.caller, Decrypt { key, context, ciphertext }).await?;
    Ok(reply::decrypted(&done))
}

pub(crate) async fn generate(
    call: Call,
    Path((enclave, key)): Path<(String, String)>,
    body: Body,
) -> Result<Response, Failed> {
    let action = Action::KeyGenerate;
    let request: wire::Generate = call.body(action, On::Within(&enclave, &key), body).await?;
    let (enclave, key) = names(&call, action, &enclave, &key)?;
    let request = Generate { enclave: &enclave, key: &key, context: &request.context.0 };
    let done = call.service.generate(&call.caller, request).await?;
    Ok(reply::generated(&done))
}

fn names(call: &Call, action: Action, enclave: &str, key: &str) -> Result<(Name, Name), Failed> {
    Ok((call.name(action, "the enclave", enclave)?, call.name(action, "the key", key)?))
}
