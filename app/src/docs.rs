//! `/docs`: the contracts' documents, and Swagger UI over them; and what the modules tell others. Everything is part of the
//! binary.

mod events;

use axum::{
    Json, Router,
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::Value;
use utoipa_swagger_ui::{Config, serve};

use std::sync::Arc;

pub use events::document as events_document;

use crate::modules::{MODULES, Module};

/// What Swagger UI may do: run its own scripts, and ask this very system. It sets styles of elements by itself.
const SWAGGER: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                       connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The pages under `/docs`.
pub fn router() -> Router {
    let urls = public().map(|m| {
        let (name, version) = (m.contract.name, m.contract.version);
        // Swagger UI's settings live as long as the process does.
        utoipa_swagger_ui::Url::new(format!("{name} v{version}").leak(), document_path(name, version).leak())
    });
    let config = Arc::new(Config::new(urls.collect::<Vec<_>>()));
    let index = config.clone();
    Router::new()
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(move || file("index.html".to_owned(), index.clone())))
        .route("/docs/openapi/{document}", get(document))
        .route(
            "/docs/{*file}",
            get(move |Path(path): Path<String>| file(path, config.clone())),
        )
        .merge(events::router())
        .layer(middleware::map_response(protect))
}

/// Headers of every answer, as the console has them. A page that needs less than Swagger UI has said so already.
async fn protect(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(SWAGGER));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// The modules that the public address serves; the others' documents are on the internal one.
fn public() -> impl Iterator<Item = &'static Module> {
    MODULES.iter().filter(|m| m.public)
}

/// A module's document without the operations that the public address does not serve.
fn public_document(module: &Module) -> Value {
    let mut document = serde_json::to_value((module.contract.openapi)()).unwrap_or_default();
    for operation in module.contract.operations.iter().filter(|o| !module.serves(o.id)) {
        let path = format!("{}{}", module.contract.prefix(), operation.path);
        let Some(paths) = document["paths"].as_object_mut() else {
            continue;
        };
        let methods = paths.get_mut(&path).and_then(Value::as_object_mut);
        if methods.is_some_and(|methods| {
            methods.remove(&operation.method.as_str().to_lowercase());
            methods.is_empty()
        }) {
            paths.remove(&path);
        }
    }
    document
}

fn document_path(name: &str, version: u32) -> String {
    format!("/docs/openapi/{name}-v{version}.json")
}

async fn document(Path(document): Path<String>) -> Response {
    let wanted = public().find(|m| format!("{}-v{}.json", m.contract.name, m.contract.version) == document);
    match wanted {
        Some(module) => Json(public_document(module)).into_response(),
        None => {
            let all: Vec<_> = public().map(|m| m.contract.name).collect();
            let all = all.join(", ");
            (
                StatusCode::NOT_FOUND,
                format!("No such document; there is one for each of: {all}\n"),
            )
                .into_response()
        }
    }
}

async fn file(path: String, config: Arc<Config<'static>>) -> Response {
    match serve(&path, config) {
        Ok(Some(file)) => ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "No such file\n").into_response(),
        Err(error) => {
            tracing::error!(%error, path, "Swagger UI's own file cannot be read");
            (StatusCode::INTERNAL_SERVER_ERROR, "This file cannot be read\n").into_response()
        }
    }
}
