//! Every route, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use holdfast_service::{Error, Service};
use holdfast_types::Kind;
use http::{HeaderValue, StatusCode, header};

use crate::error::Failed;
use crate::extract::unfit;
use crate::native::{access, archives, crypto, custodians, health, keys, status};

/// The routes over a service. Each request must carry an `Arc<Caller>` in its extensions.
pub(crate) fn router(service: Arc<Service>) -> Router {
    // Not nested: a failure names the path as it was asked for.
    let v1 = |path: &str| format!("/api/v1{path}");
    Router::new()
        .route(&v1("/enclaves"), post(keys::create_enclave).get(keys::list_enclaves))
        .route(&v1("/enclaves/{enclave}"), delete(keys::remove_enclave))
        .route(&v1("/enclaves/{enclave}/keys"), post(keys::create).get(keys::list))
        .route(&v1("/enclaves/{enclave}/keys/{key}"), get(keys::show).delete(keys::delete))
        .route(&v1("/enclaves/{enclave}/keys/{key}/rotate"), post(keys::rotate))
        .route(&v1("/enclaves/{enclave}/keys/{key}/undelete"), post(keys::undelete))
        .route(&v1("/enclaves/{enclave}/keys/{key}/encrypt"), post(crypto::routed::encrypt))
        .route(&v1("/enclaves/{enclave}/keys/{key}/decrypt"), post(crypto::routed::decrypt_with))
        .route(&v1("/enclaves/{enclave}/keys/{key}/generate"), post(crypto::routed::generate))
        .route(&v1("/decrypt"), post(crypto::routed::decrypt))
        .route(&v1("/enclaves/{enclave}/policies"), get(access::list_policies))
        .route(
            &v1("/enclaves/{enclave}/policies/{policy}"),
            get(access::show_policy).put(access::set_policy).delete(access::remove_policy),
        )
        .route(&v1("/identities"), post(access::create_identity).get(access::list_identities))
        .route(
            &v1("/identities/{which}"),
            get(access::show_identity).delete(access::remove_identity),
        )
        .route(&v1("/custodians"), post(custodians::add).get(custodians::list))
        .route(&v1("/custodians/{which}"), get(custodians::show).delete(custodians::remove))
        .route(&v1("/slots"), get(custodians::slots))
        .route(&v1("/archives"), get(archives::list))
        .route(&v1("/archives/{which}"), get(archives::show))
        .route(&v1("/backups"), post(archives::start))
        .route(&v1("/backups/{job_id}"), get(archives::progress).delete(archives::cancel))
        // GET alone: where nothing else is said HEAD is answered by it, and would take the tar.
        .route(&v1("/backups/{job_id}/tar"), get(archives::tar).head(only_get).fallback(only_get))
        .route(&v1("/backups/{job_id}/sidecars"), get(archives::sidecars))
        .route(&v1("/backups/{job_id}/stored"), post(archives::stored))
        .route(&v1("/drills"), post(archives::drill))
        .route(&v1("/audit/acknowledge"), post(status::acknowledge))
        .route(&v1("/sheet"), get(status::sheet))
        .route(&v1("/status"), get(status::status))
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

/// For a path that exists and a method it does not take. The router adds `Allow` (RFC 9110 §15.5.6).
async fn wrong_method(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let message = format!("{} does not take {}", shown(&parts), parts.method);
    let error = Error::new(Kind::BadInput, message);
    let next = "use one of the methods that the answer's Allow header names";
    let mut response = unfit(&service, &parts, error.next(next)).into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// As [`wrong_method`], for what takes GET and not even HEAD.
async fn only_get(service: State<Arc<Service>>, request: Request) -> Response {
    let mut response = wrong_method(service, request).await;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    response
}

/// The path as a failure shows it.
fn shown(parts: &http::request::Parts) -> String {
    parts.uri.path().chars().take(200).flat_map(char::escape_debug).collect()
}
