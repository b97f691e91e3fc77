//! `/docs`: the contracts' documents, and Swagger UI over them. Everything is part of the binary.

use axum::{
    Json, Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use utoipa_swagger_ui::{Config, serve};

use std::sync::Arc;

use crate::modules::{MODULES, Module};

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
}

/// The modules that the public address serves; the others' documents are on the internal one.
fn public() -> impl Iterator<Item = &'static Module> {
    MODULES.iter().filter(|m| m.public)
}

fn document_path(name: &str, version: u32) -> String {
    format!("/docs/openapi/{name}-v{version}.json")
}

async fn document(Path(document): Path<String>) -> Response {
    let wanted = public().find(|m| format!("{}-v{}.json", m.contract.name, m.contract.version) == document);
    match wanted {
        Some(module) => Json((module.contract.openapi)()).into_response(),
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
