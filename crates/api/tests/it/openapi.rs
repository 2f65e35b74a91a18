//! `openapi.json` says what the routes and the wire types do: no route, field or example more or less.

use std::collections::BTreeSet;

use holdfast_api::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const ROUTES: &str = include_str!("../../src/routes.rs");
const WIRE: [&str; 6] = [
    include_str!("../../src/wire/mod.rs"),
    include_str!("../../src/wire/access.rs"),
    include_str!("../../src/wire/archives.rs"),
    include_str!("../../src/wire/custodians.rs"),
    include_str!("../../src/wire/keys.rs"),
    include_str!("../../src/wire/status.rs"),
];

fn document() -> Value {
    serde_json::from_str(include_str!("../../openapi.json")).unwrap()
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap()
}

/// `POST /api/v1/enclaves` and so on, from the table of routes.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for route in ROUTES.split(".route(").skip(1) {
        let (before, rest) = route.split_once('"').unwrap();
        let (path, handlers) = rest.split_once('"').unwrap();
        let prefix = if before.contains("v1(") { "/api/v1" } else { "" };
        for method in ["get", "put", "post", "delete", "patch"] {
            // Every handler is named by its module: `post(keys::create)`.
            let call = format!("{method}(");
            let calls = handlers.match_indices(&call).filter(|(at, _)| {
                let before = handlers[..*at].chars().next_back();
                before.is_some_and(|c| c == '.' || c.is_whitespace())
            });
            if calls.count() > 0 {
                found.insert(format!("{method} {prefix}{path}"));
            }
        }
    }
    found
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let document = document();
    let mut documented = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, methods) in object(&document["paths"]) {
        for (method, operation) in object(methods) {
            documented.insert(format!("{method} {path}"));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()));
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|one| one["in"] == "path");
            let in_path: Vec<_> = in_path.map(|one| one["name"].as_str().unwrap()).collect();
            let braces = path.split('{').skip(1).map(|part| part.split('}').next().unwrap());
            assert_eq!(in_path, braces.collect::<Vec<_>>(), "{path}");
        }
    }
    let routes = routes();
    assert!(routes.len() > 30, "{routes:?}");
    assert_eq!(documented, routes);
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for reference in &used {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in object(&document["components"]["schemas"]).keys() {
        assert!(used.contains(&format!("#/components/schemas/{name}")), "{name}");
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref") {
                found.insert(reference.as_str().unwrap().to_owned());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The example of a schema, which has all its properties, is the wire type's, and is refused without any of
/// those that are required; a closed one is refused with one more.
fn check<T: Serialize + DeserializeOwned>(schemas: &mut Map<String, Value>, name: &str) {
    let schema = schemas.remove(name).unwrap_or_else(|| panic!("no schema {name}"));
    let example = &schema["example"];
    let value: T =
        serde_json::from_value(example.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_value(value).unwrap(), *example, "{name}");
    let properties: BTreeSet<_> = object(&schema["properties"]).keys().cloned().collect();
    assert_eq!(properties, object(example).keys().cloned().collect(), "{name}");
    assert_eq!(properties, fields(name), "{name}");
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        let required = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(properties, required, "{name} is a reply, which has all of its fields");
    }
    for property in &properties {
        let mut without = object(example).clone();
        without.remove(property);
        let reads = serde_json::from_value::<T>(Value::Object(without)).is_ok();
        // What may be null is read where it is missing, too, as an older server left it away.
        let nullable = schema["properties"][property.as_str()]["type"].is_array();
        let must = required.iter().any(|one| one == property.as_str()) && !nullable;
        assert_eq!(reads, !must, "{name}.{property}");
    }
    let mut more = object(example).clone();
    more.insert("something".to_owned(), Value::Null);
    let open = serde_json::from_value::<T>(Value::Object(more)).is_ok();
    assert_eq!(open, schema.get("additionalProperties") != Some(&Value::Bool(false)), "{name}");
}

/// The fields of a wire type, those that are optional, too, from its source.
fn fields(name: &str) -> BTreeSet<String> {
    let start = format!("pub struct {name} {{");
    let source = WIRE.iter().find_map(|source| source.split_once(&start)).unwrap().1;
    let body = source.split("\n}").next().unwrap();
    let mut found = BTreeSet::new();
    let mut flat = false;
    for line in body.lines().map(str::trim) {
        flat |= line == "#[serde(flatten)]";
        let Some((field, of)) = line.strip_prefix("pub ").and_then(|it| it.split_once(": ")) else {
            continue;
        };
        if std::mem::take(&mut flat) {
            found.extend(fields(of.trim_end_matches(',')));
        } else {
            found.insert(field.to_owned());
        }
    }
    found
}

#[test]
fn every_schema_is_the_wire_type_of_its_name() {
    let mut document = document();
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    macro_rules! check {
        ($($name:ident)*) => {$( check::<wire::$name>(schemas, stringify!($name)); )*};
    }
    check! {
        Failure FailureBody Named Enclave Enclaves Key Keys VersionOf Undelete Encrypt Encrypted Decrypt
        Decrypted Generate Generated Rules Policy Policies NewIdentity Identity Identities NewCustodian
        Custodian CustodianAdded Custodians CustodianRemoved Slot Slots Sheet Archive Archives NewBackup Backup BackupState
        Sidecars Stored Drill Drilled Status NodeStatus AuditAcknowledged Warning
    }
    assert!(schemas.is_empty(), "no wire type: {:?}", schemas.keys());
}
