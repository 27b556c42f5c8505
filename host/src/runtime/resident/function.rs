//! Exported functions by name, with arguments and results in WAVE, the textual form of component values
//! (<https://github.com/bytecodealliance/wasm-tools/tree/main/crates/wasm-wave>).

use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::DisplayType;
use wasmtime::component::{Component, Type, Val};

/// Longest arguments of a call, and longest result, in bytes of text.
pub const TEXT_BYTES: usize = 16 << 20;

/// Exported functions that are named when one is not found.
const NAMED: usize = 20;

/// An exported function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    /// The interface it is in, as it is exported.
    pub interface: Option<String>,
    /// Its name there.
    pub function: String,
}

/// Why a function cannot be called like this.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FunctionError {
    /// There is none with the name.
    #[error("it exports no function {name:?}; it exports {}", listed(.exports))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        exports: Vec<String>,
    },
    /// Several interfaces have one with the name.
    #[error("several of its interfaces have a function {name:?}: {}", .exports.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What there is.
        exports: Vec<String>,
    },
    /// The arguments do not fit.
    #[error("{function} takes {signature}: {why}")]
    Arguments {
        /// The function.
        function: String,
        /// Its parameters.
        signature: String,
        /// What does not fit.
        why: String,
    },
    /// A timer would send a message to a guest that takes none of its topic.
    #[error("it would send itself messages of the topic {topic:?}, to which it has not subscribed")]
    NotSubscribed {
        /// The topic.
        topic: String,
    },
    /// It is to be called at too many times.
    #[error("it is to be called at more than {most} times")]
    TooManyTimes {
        /// So many may be.
        most: usize,
    },
    /// It takes or gives what has no text: a resource, a stream.
    #[error("{function} cannot be called from outside: {what} has no textual form")]
    NoText {
        /// The function.
        function: String,
        /// The type.
        what: String,
    },
}

fn listed(exports: &[String]) -> String {
    match exports.len() {
        0 => "none".to_owned(),
        len if len <= NAMED => exports.join(", "),
        len => format!("{} and {} more", exports[..NAMED].join(", "), len - NAMED),
    }
}

impl std::fmt::Display for FunctionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{interface}#{}", self.function),
            None => f.write_str(&self.function),
        }
    }
}

impl FunctionName {
    /// The name as it stands in an event.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once('#') {
            Some((interface, function)) => {
                Self { interface: Some(interface.to_owned()), function: function.to_owned() }
            }
            None => Self { interface: None, function: text.to_owned() },
        }
    }
}

/// All functions that a component exports and that are not the host's own.
pub fn functions(engine: &Engine, component: &Component) -> Vec<(FunctionName, ComponentFunc)> {
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(ty) if !name.starts_with("reel-") => {
                found.push((FunctionName { interface: None, function: name.to_owned() }, ty));
            }
            ComponentItem::ComponentInstance(instance) => {
                for (function, item) in instance.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty {
                        let interface = Some(name.to_owned());
                        found.push((FunctionName { interface, function: function.to_owned() }, ty));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// The function with which a guest is told that it is a fork, and of what name.
pub const FORKED: &str = "reel:guest/forked@0.1.0#forked";

/// The function of a name as it stands in an event.
pub fn exact(engine: &Engine, component: &Component, name: &FunctionName) -> Result<ComponentFunc, FunctionError> {
    let item = match &name.interface {
        None => component.get_export(None, &name.function),
        Some(interface) => component
            .get_export(None, interface)
            .and_then(|(_, index)| component.get_export(Some(&index), &name.function)),
    };
    match item {
        Some((ComponentItem::ComponentFunc(ty), _)) => Ok(ty),
        _ => Err(FunctionError::Unknown {
            name: name.to_string(),
            exports: functions(engine, component).into_iter().map(|(known, _)| known.to_string()).collect(),
        }),
    }
}

/// The function that a user means: by its whole name, by `interface.function` or `interface#function` without package or version, or by its own
/// name if only one interface has it.
pub fn find(
    engine: &Engine,
    component: &Component,
    name: &str,
) -> Result<(FunctionName, ComponentFunc), FunctionError> {
    let all = functions(engine, component);
    if let Some(found) =
        all.iter().find(|(known, _)| known.to_string() == name || known.interface.is_none() && known.function == name)
    {
        return Ok(found.clone());
    }
    let matching: Vec<_> = all.iter().filter(|(known, _)| means(known, name)).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(FunctionError::Unknown {
            name: name.to_owned(),
            exports: all.iter().map(|(known, _)| known.to_string()).collect(),
        }),
        several => Err(FunctionError::Ambiguous {
            name: name.to_owned(),
            exports: several.iter().map(|(known, _)| known.to_string()).collect(),
        }),
    }
}

fn means(known: &FunctionName, name: &str) -> bool {
    let Some(interface) = &known.interface else { return known.function == name };
    let whole = interface.split('@').next().unwrap_or(interface);
    let short = whole.rsplit('/').next().unwrap_or(whole);
    [interface.as_str(), whole, short].iter().any(|prefix| {
        let rest = name.strip_prefix(prefix);
        rest.and_then(|rest| rest.strip_prefix(['#', '.', '/'])) == Some(known.function.as_str())
    }) || known.function == name
}

/// Whether a component wants to be told that it is a fork.
pub fn has_forked(component: &Component) -> bool {
    let FunctionName { interface, function } = FunctionName::parse(FORKED);
    let interface = interface.and_then(|interface| component.get_export(None, interface.as_str()));
    interface.is_some_and(|(_, index)| component.get_export(Some(&index), function.as_str()).is_some())
}

/// Arguments as a user gives them, in one text with parentheses: each by itself, or all of them in one, with parentheses or without.
pub fn given(name: &FunctionName, ty: &ComponentFunc, args: &[String]) -> Result<String, FunctionError> {
    let joined = args.join(", ");
    let text = format!("({joined})");
    let error = match arguments(name, ty, &text) {
        Ok(_) => return Ok(text),
        Err(error) => error,
    };
    let whole = joined.trim();
    if whole.starts_with('(') && arguments(name, ty, whole).is_ok() {
        return Ok(whole.to_owned());
    }
    Err(error)
}

/// What the function takes and gives, in words.
pub fn signature(ty: &ComponentFunc) -> String {
    let params: Vec<String> = ty.params().map(|(name, ty)| format!("{name}: {}", DisplayType(&ty))).collect();
    let results: Vec<String> = ty.results().map(|ty| DisplayType(&ty).to_string()).collect();
    match results.as_slice() {
        [] => format!("({})", params.join(", ")),
        results => format!("({}) -> {}", params.join(", "), results.join(", ")),
    }
}

/// The values of arguments in WAVE: `(1, "two")`, or without the parentheses.
pub fn arguments(name: &FunctionName, ty: &ComponentFunc, text: &str) -> Result<Vec<Val>, FunctionError> {
    if let Some(what) = ty.params().map(|(_, ty)| ty).chain(ty.results()).find_map(|ty| textless(&ty)) {
        return Err(FunctionError::NoText { function: name.to_string(), what: what.to_owned() });
    }
    let refuse = |why: String| FunctionError::Arguments { function: name.to_string(), signature: signature(ty), why };
    if text.len() > TEXT_BYTES {
        return Err(refuse(format!("{} bytes of arguments, at most {TEXT_BYTES} are taken", text.len())));
    }
    let call = format!("f{text}");
    let parsed = UntypedFuncCall::parse(&call).map_err(|e| refuse(e.to_string()))?;
    let types: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    parsed.to_wasm_params::<Val>(&types).map_err(|e| refuse(e.to_string()))
}

/// Results in WAVE; empty if there are none.
pub fn results(values: &[Val]) -> Result<String, String> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        texts.push(value.to_wave().map_err(|e| e.to_string())?);
    }
    Ok(texts.join(", "))
}

/// The first part of a type that has no textual form.
fn textless(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error context"),
        Type::Map(_) => Some("a map"),
        Type::List(list) => textless(&list.ty()),
        Type::Option(option) => textless(&option.ty()),
        Type::Result(result) => {
            result.ok().and_then(|ty| textless(&ty)).or_else(|| result.err().and_then(|ty| textless(&ty)))
        }
        Type::Tuple(tuple) => tuple.types().find_map(|ty| textless(&ty)),
        Type::Record(record) => record.fields().find_map(|field| textless(&field.ty)),
        Type::Variant(variant) => variant.cases().find_map(|case| case.ty.and_then(|ty| textless(&ty))),
        _ => None,
    }
}
