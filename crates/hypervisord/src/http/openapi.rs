//! The description of the API in OpenAPI 3.1, made of the same list of routes that the router is made of.
//!
//! What a route takes and answers is said in [`table`]; who may call it, and what every route can answer, follows
//! from the list. `docs/openapi.json` is what this makes, and a test keeps it so. The routes of older programs are
//! not in it: their shapes are fixed, and nobody should write for them anew.

mod table;

use std::collections::BTreeSet;

use axum::Json;
use axum::http::Method;
use hyper_api::{PROBLEM_MEDIA_TYPE, Problem, Role};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required, ResponseBuilder, Schema, Type,
};

use super::{Need, Route};
use table::{Answer, Described, Input};

/// Where the description is served.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// Statuses that every route can answer: a foreign page or host or a secret in the URL, a body that is too large,
/// a bug of ours.
const ALWAYS: [u16; 4] = [400, 403, 413, 500];

/// Statuses of routes that want to know who asks.
const GUARDED: [u16; 2] = [401, 429];

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get(PATH, Need::Role(Role::Read), async || Json(document(&super::routes())))]
}

/// A type of the wire by its name, with those that it is made of.
#[derive(Clone)]
struct Shape {
    name: String,
    collect: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    fn of<T: ToSchema>() -> Self {
        let collect = |schemas: &mut Vec<(String, RefOr<Schema>)>| {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        };
        Self { name: T::name().into_owned(), collect }
    }

    fn reference(&self) -> RefOr<Schema> {
        Ref::from_schema_name(&self.name).into()
    }
}

/// Returns the description of `routes`; those of older programs are left out, and so are those that [`table`] does
/// not know, which a test does not let happen.
pub(super) fn document(routes: &[Route]) -> OpenApi {
    let described = routes.iter().filter(|route| !route.is_compat());
    let described = described.filter_map(|route| Some((route, table::described(route.method(), route.path())?)));
    let described: Vec<_> = described.collect();
    let paths = described.iter().fold(PathsBuilder::new(), |paths, (route, described)| {
        let item = PathItem::new(method(route.method()), operation(route, described));
        paths.path(route.path(), item)
    });
    let shapes = described.iter().flat_map(|(_, described)| described.shapes()).chain([Shape::of::<Problem>()]);
    let mut schemas = Vec::new();
    shapes.for_each(|shape| (shape.collect)(&mut schemas));
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("A token. Over the Unix socket nobody needs one."))
                    .build(),
            ),
        )
        .security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    let info = InfoBuilder::new()
        .title("hypervisord")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Takes jobs that bring VMs out of VMware, runs them, says how far they are."))
        .build();
    OpenApiBuilder::new().info(info).paths(paths.build()).components(Some(components.build())).build()
}

fn method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route, described: &Described) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(described.name))
        .summary(Some(described.summary))
        .parameters(Some(path_parameters(route.path())))
        .parameters(Some(described.inputs.iter().map(parameter)));
    if let Some(body) = &described.body {
        let content = Content::new(Some(body.reference()));
        let body = RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let (status, answer) = &described.answer;
    for status in [Some(*status), described.repeated].into_iter().flatten() {
        operation = operation.response(status.to_string(), response(answer));
    }
    for status in statuses(route, described) {
        let content = Content::new(Some(Shape::of::<Problem>().reference()));
        let text = table::meaning(status);
        let problem = ResponseBuilder::new().description(text).content(PROBLEM_MEDIA_TYPE, content);
        operation = operation.response(status.to_string(), problem.build());
    }
    if route.need() != Need::Nothing {
        for scheme in ["bearer", "api_key"] {
            operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []));
        }
    }
    operation.build()
}

/// Returns the statuses of errors, each once.
fn statuses(route: &Route, described: &Described) -> BTreeSet<u16> {
    let guarded = if route.need() == Need::Nothing { &[][..] } else { &GUARDED };
    [&ALWAYS[..], guarded, described.errors].into_iter().flatten().copied().collect()
}

fn response(answer: &Answer) -> utoipa::openapi::Response {
    let text = || RefOr::from(ObjectBuilder::new().schema_type(Type::String).build());
    match answer {
        Answer::Nothing => ResponseBuilder::new().description("Done.").build(),
        Answer::Json(shape) => ResponseBuilder::new()
            .description("The answer.")
            .content("application/json", Content::new(Some(shape.reference())))
            .build(),
        Answer::Object => ResponseBuilder::new()
            .description("An object.")
            .content("application/json", Content::new(Some(RefOr::from(ObjectBuilder::new().build()))))
            .build(),
        Answer::Text(media_type) => {
            ResponseBuilder::new().description("A text.").content(*media_type, Content::new(Some(text()))).build()
        }
    }
}

/// Returns the variables of a path.
fn path_parameters(path: &'static str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| parameter(&Input { place: ParameterIn::Path, name, kind: Type::String, what: "Its id." }))
        .collect()
}

fn parameter(input: &Input) -> Parameter {
    let required = if matches!(input.place, ParameterIn::Path) { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(input.name)
        .parameter_in(input.place.clone())
        .required(required)
        .description(Some(input.what))
        .schema(Some(ObjectBuilder::new().schema_type(input.kind.clone()).build()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_that_is_not_for_older_programs_is_described() {
        for route in crate::http::routes().iter().filter(|route| !route.is_compat()) {
            let described = table::described(route.method(), route.path());
            assert!(described.is_some(), "{} {} is not in openapi/table.rs", route.method(), route.path());
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_name_is_there_once() {
        let document = serde_json::to_value(document(&crate::http::routes())).unwrap();
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 50, "{} references", references.len());
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        let operations = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap());
        let names: Vec<_> = operations.map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    fn collect(value: &serde_json::Value, references: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                references.extend(members.get("$ref").and_then(|target| target.as_str()).map(str::to_owned));
                members.values().for_each(|value| collect(value, references));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }

    #[test]
    fn who_may_call_stands_with_the_route() {
        let document = serde_json::to_value(document(&crate::http::routes())).unwrap();
        assert!(document["paths"]["/healthz"]["get"].get("security").is_none());
        assert_eq!(document["paths"]["/api/v1/jobs"]["post"]["security"][0], serde_json::json!({"bearer": []}));
        assert!(document["paths"]["/api/v1/jobs"]["post"]["responses"].get("401").is_some());
        assert_eq!(document["openapi"], "3.1.0");
        assert!(document["paths"].get("/jobs/submit").is_none());
    }
}
