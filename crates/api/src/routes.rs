//! Every route, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{delete, get, post};
use holdfast_service::{Error, Service};
use holdfast_types::Kind;

use crate::error::Failed;
use crate::extract::unfit;
use crate::native::{access, archives, crypto, custodians, health, keys, status};

/// The routes over a service. Each request must carry an `Arc<Caller>` in its extensions.
pub fn router(service: Arc<Service>) -> Router {
    let key = "/enclaves/{enclave}/keys/{key}";
    let v1 = Router::new()
        .route("/enclaves", post(keys::create_enclave).get(keys::list_enclaves))
        .route("/enclaves/{enclave}", delete(keys::remove_enclave))
        .route("/enclaves/{enclave}/keys", post(keys::create).get(keys::list))
        .route(key, get(keys::show).delete(keys::delete))
        .route(&format!("{key}/rotate"), post(keys::rotate))
        .route(&format!("{key}/undelete"), post(keys::undelete))
        .route(&format!("{key}/encrypt"), post(crypto::encrypt))
        .route(&format!("{key}/decrypt"), post(crypto::decrypt_with))
        .route(&format!("{key}/generate"), post(crypto::generate))
        .route("/decrypt", post(crypto::decrypt))
        .route("/enclaves/{enclave}/policies", get(access::list_policies))
        .route(
            "/enclaves/{enclave}/policies/{policy}",
            get(access::show_policy).put(access::set_policy).delete(access::remove_policy),
        )
        .route("/identities", post(access::create_identity).get(access::list_identities))
        .route("/identities/{which}", get(access::show_identity).delete(access::remove_identity))
        .route("/custodians", post(custodians::add).get(custodians::list))
        .route("/custodians/{which}", get(custodians::show).delete(custodians::remove))
        .route("/slots", get(custodians::slots))
        .route("/archives", get(archives::list))
        .route("/archives/{which}", get(archives::show))
        .route("/backups", post(archives::start))
        .route("/backups/{job}", get(archives::progress))
        .route("/backups/{job}/tar", get(archives::tar))
        .route("/backups/{job}/sidecars", get(archives::sidecars))
        .route("/backups/{job}/stored", post(archives::stored))
        .route("/drills", post(archives::drill))
        .route("/sheet", get(status::sheet))
        .route("/status", get(status::status));
    Router::new()
        .nest("/api/v1", v1)
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
}

async fn nothing_here(State(service): State<Arc<Service>>, request: Request) -> Failed {
    let (parts, _) = request.into_parts();
    let message = format!("no such resource: {}", shown(&parts));
    let error = Error::new(Kind::NotFound, message);
    unfit(&service, &parts, error.next("the native API is under /api/v1"))
}

/// For a path that exists and a method it does not take.
async fn wrong_method(State(service): State<Arc<Service>>, request: Request) -> Failed {
    let (parts, _) = request.into_parts();
    let error = format!("{} does not take {}", shown(&parts), parts.method);
    unfit(&service, &parts, Error::new(Kind::BadInput, error))
}

/// The path as a failure shows it.
fn shown(parts: &http::request::Parts) -> String {
    parts.uri.path().chars().take(200).flat_map(char::escape_debug).collect()
}
