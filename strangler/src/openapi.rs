//! The OpenAPI 3.1 document of a contract, put together from the schemas of its types.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, Info, OpenApi, OpenApiBuilder, PathItem, Paths, Ref, RefOr, Required, Schema,
        content::ContentBuilder,
        header::HeaderBuilder,
        path::{Operation as PathOperation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::ResponseBuilder,
        schema::{ObjectBuilder, SchemaType, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    contract::{Auth, Contract, Operation},
    problem::{ContractError, PROBLEM_JSON, Problem},
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const HTML: &str = "text/html";

/// A document in the making.
pub struct Document {
    contract: &'static Contract,
    paths: Paths,
    schemas: Schemas,
}

/// The named schemas of a document. Two different ones of one name are a mistake in the contract.
#[derive(Default)]
pub struct Schemas(BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Adds `T` and what it refers to, and says how to refer to it. A generic type is written out where it is used: its
    /// name does not tell its argument.
    ///
    /// # Panics
    /// When there is another schema of that name.
    pub fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut found = Vec::new();
        T::schemas(&mut found);
        let generic = std::any::type_name::<T>().contains('<');
        if !generic {
            found.push((T::name().into_owned(), T::schema()));
        }
        self.add(found);
        if generic {
            T::schema()
        } else {
            RefOr::Ref(Ref::from_schema_name(T::name()))
        }
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, RefOr<Schema>> {
        self.0
    }

    fn add(&mut self, found: Vec<(String, RefOr<Schema>)>) {
        for (name, schema) in found {
            let text = |s: &RefOr<Schema>| serde_json::to_value(s).ok();
            if let Some(other) = self.0.get(&name) {
                assert!(
                    text(other) == text(&schema),
                    "two different schemas are called `{name}`: rename one of the types"
                );
            }
            self.0.insert(name, schema);
        }
    }
}

impl Document {
    /// An empty document of this contract.
    pub fn new(contract: &'static Contract) -> Self {
        Self {
            contract,
            paths: Paths::new(),
            schemas: Schemas::default(),
        }
    }

    /// Adds the operation with this index.
    pub fn operation(mut self, index: usize, describe: impl FnOnce(Describe<'_>) -> Describe<'_>) -> Self {
        let operation = &self.contract.operations[index];
        let (summary, rest) = operation.doc.split_once("\n\n").unwrap_or((operation.doc, ""));
        let builder = OperationBuilder::new()
            .operation_id(Some(operation.id))
            .tag(self.contract.name)
            .summary(Some(summary.replace('\n', " ")))
            .description((!rest.is_empty()).then(|| rest.to_owned()));
        let describe = describe(Describe {
            operation,
            pages: self.contract.pages,
            builder,
            schemas: &mut self.schemas,
            etag: false,
            next: false,
        });
        let path = format!("{}{}", self.contract.prefix(), operation.path);
        let method = match operation.method.as_str() {
            "PUT" => HttpMethod::Put,
            "POST" => HttpMethod::Post,
            "PATCH" => HttpMethod::Patch,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        let item = PathItem::new(method, describe.finish());
        match self.paths.paths.get_mut(&path) {
            Some(there) => there.merge_operations(item),
            None => _ = self.paths.paths.insert(path, item),
        }
        self
    }

    /// The document.
    pub fn finish(self) -> OpenApi {
        let mut components = Components::new();
        components.schemas = self.schemas.0.into_iter().collect();
        components.security_schemes.insert(
            "token".to_owned(),
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()).into(),
        );
        let mut info = Info::new(self.contract.name, &format!("{}.0.0", self.contract.version));
        info.description = Some(self.contract.doc.to_owned());
        OpenApiBuilder::new()
            .info(info)
            .paths(self.paths)
            .components(Some(components))
            .build()
    }
}

/// One operation in the making.
pub struct Describe<'a> {
    operation: &'static Operation,
    pages: bool,
    builder: OperationBuilder,
    schemas: &'a mut Schemas,
    etag: bool,
    next: bool,
}

impl Describe<'_> {
    /// A parameter in the path.
    pub fn path_param<T: PartialSchema>(mut self, name: &'static str) -> Self {
        self.builder = self.builder.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(T::schema())),
        );
        self
    }

    /// A query string: one parameter for each property of `T`.
    pub fn query<T: ToSchema>(mut self) -> Self {
        let mut found = Vec::new();
        T::schemas(&mut found);
        if let RefOr::T(Schema::Object(object)) = T::schema() {
            for (name, schema) in object.properties {
                let required = object.required.contains(&name);
                let schema = there(schema);
                let description = match &schema {
                    RefOr::T(Schema::Object(o)) => o.description.clone(),
                    RefOr::Ref(r) => Some(r.description.clone()).filter(|d| !d.is_empty()),
                    _ => None,
                };
                self.builder = self.builder.parameter(
                    ParameterBuilder::new()
                        .name(name)
                        .parameter_in(ParameterIn::Query)
                        .required(if required { Required::True } else { Required::False })
                        .description(description)
                        .schema(Some(schema)),
                );
            }
        }
        self.schemas.add(found);
        self
    }

    /// A header, optional.
    pub fn header<T>(mut self, name: &'static str) -> Self {
        self.builder = self.builder.parameter(text_parameter(name, ParameterIn::Header));
        self
    }

    /// A JSON body.
    pub fn body<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schemas.of::<T>())).build();
        self.builder = self.builder.request_body(Some(
            RequestBodyBuilder::new()
                .content(JSON, content)
                .required(Some(Required::True))
                .build(),
        ));
        self
    }

    /// A cookie, optional.
    pub fn cookie<T>(mut self, name: &'static str) -> Self {
        self.builder = self.builder.parameter(text_parameter(name, ParameterIn::Cookie));
        self
    }

    /// A body as a browser sends a form.
    pub fn form<T: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.schemas.of::<T>())).build();
        self.builder = self.builder.request_body(Some(
            RequestBodyBuilder::new()
                .content(FORM, content)
                .required(Some(Required::True))
                .build(),
        ));
        self
    }

    /// Answers a page: 200, or 303 to where the outcome is. What its contract names as problems are pages too.
    pub fn page(mut self) -> Self {
        if self.operation.kind == crate::Kind::Query {
            let shown = ResponseBuilder::new()
                .description("The page")
                .content(HTML, Content::new(Some(text())))
                .build();
            self.builder = self.builder.response("200", shown);
        }
        let elsewhere = ResponseBuilder::new()
            .description("What came of it is at another page")
            .header("location", HeaderBuilder::new().schema(Some(text())).build())
            .build();
        self.builder = self.builder.response("303", elsewhere);
        self
    }

    fn answer(mut self, status: &str, description: &str, schema: Option<RefOr<Schema>>) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        if let Some(schema) = schema {
            response = response.content(JSON, Content::new(Some(schema)));
        }
        let location = status == "202";
        for (name, there) in [("etag", self.etag), ("link", self.next), ("location", location)] {
            if there {
                response = response.header(name, HeaderBuilder::new().schema(Some(text())).build());
            }
        }
        self.builder = self.builder.response(status, response.build());
        self
    }

    /// Answers 200 with a `T`.
    pub fn value<T: ToSchema>(self) -> Self {
        let schema = self.schemas.of::<T>();
        self.answer("200", "What was asked for", Some(schema))
    }

    /// Answers 201 or 200 with a `T`.
    pub fn put<T: ToSchema>(self) -> Self {
        let schema = self.schemas.of::<T>();
        self.answer("201", "It was not there before", Some(schema.clone()))
            .answer("200", "It was there", Some(schema))
    }

    /// Answers 204.
    pub fn done(self) -> Self {
        self.answer("204", "It is done", None)
    }

    /// Answers 202 with a `T`.
    pub fn accepted<T: ToSchema>(self) -> Self {
        let schema = self.schemas.of::<T>();
        self.answer("202", "It is accepted and goes on", Some(schema))
    }

    /// Carries an entity tag. Comes before the answer.
    pub fn etag(mut self) -> Self {
        self.etag = true;
        if self.operation.kind == crate::Kind::Query {
            self.builder = self
                .builder
                .parameter(text_parameter("if-none-match", ParameterIn::Header));
            return self.answer("304", "The caller has this version already", None);
        }
        self
    }

    /// Carries a link to the next page. Comes before the answer.
    pub fn next(mut self) -> Self {
        self.next = true;
        self
    }

    /// Every problem of `E`, by status.
    pub fn problems<E: ContractError>(mut self) -> Self {
        let schema = self.schemas.of::<Problem>();
        let mut by_status = BTreeMap::<u16, Vec<&str>>::new();
        for kind in E::KINDS {
            by_status.entry(kind.status).or_default().push(kind.title);
        }
        if self.operation.auth != Auth::Public {
            by_status.entry(401).or_default().push("A valid token is needed");
        }
        if let Auth::Scope(_) = self.operation.auth {
            by_status.entry(403).or_default().push("The token does not allow this");
        }
        for (status, titles) in by_status {
            let content = Content::new(Some(schema.clone()));
            let mut response = ResponseBuilder::new()
                .description(titles.join("; "))
                .content(PROBLEM_JSON, content);
            if self.pages {
                response = response.content(HTML, Content::new(Some(text())));
            }
            self.builder = self.builder.response(status.to_string(), response.build());
        }
        self
    }

    fn finish(self) -> PathOperation {
        match self.operation.auth {
            Auth::Public => self.builder,
            Auth::SignedIn => self
                .builder
                .security(SecurityRequirement::new::<_, _, &str>("token", [])),
            Auth::Scope(scope) => self.builder.security(SecurityRequirement::new("token", [scope])),
        }
        .build()
    }
}

fn text() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build())
}

fn text_parameter(name: &str, place: ParameterIn) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .schema(Some(text()))
        .build()
}

/// The schema of a parameter that is there. That it may be missing is said by `required`: a query string has no `null`.
fn there(schema: RefOr<Schema>) -> RefOr<Schema> {
    let is_null =
        |s: &RefOr<Schema>| matches!(s, RefOr::T(Schema::Object(o)) if o.schema_type == SchemaType::Type(Type::Null));
    match schema {
        RefOr::T(Schema::OneOf(mut one)) if one.items.len() == 2 && one.items.iter().any(is_null) => {
            one.items.retain(|s| !is_null(s));
            one.items.pop().unwrap_or(RefOr::T(Schema::OneOf(one)))
        }
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|t| *t != Type::Null);
                if let [only] = &types[..] {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
            RefOr::T(Schema::Object(object))
        }
        schema => schema,
    }
}
