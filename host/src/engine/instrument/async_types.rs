//! Whether a type has a handle of the component model's concurrency in it.

use wasmparser::{
    ComponentDefinedType as Defined, ComponentFuncType, ComponentType, ComponentTypeDeclaration as InComponent,
    ComponentValType, InstanceTypeDeclaration as InInstance, PrimitiveValType,
};

/// The first stream, future or error context in a type; nothing if it has none. Types that it refers to by index were asked before.
pub(super) fn concurrent(ty: &ComponentType<'_>) -> Option<&'static str> {
    match ty {
        ComponentType::Defined(ty) => defined(ty),
        ComponentType::Func(ty) => function(ty),
        ComponentType::Component(declarations) => declarations.iter().find_map(|declaration| match declaration {
            InComponent::Type(ty) => concurrent(ty),
            _ => None,
        }),
        ComponentType::Instance(declarations) => declarations.iter().find_map(|declaration| match declaration {
            InInstance::Type(ty) => concurrent(ty),
            _ => None,
        }),
        ComponentType::Resource { .. } => None,
    }
}

fn function(ty: &ComponentFuncType<'_>) -> Option<&'static str> {
    ty.params.iter().map(|(_, ty)| ty).chain(ty.result.as_ref()).find_map(value)
}

fn defined(ty: &Defined<'_>) -> Option<&'static str> {
    match ty {
        Defined::Future(_) => Some("future"),
        Defined::Stream(_) => Some("stream"),
        Defined::Primitive(ty) => primitive(*ty),
        Defined::Record(fields) => fields.iter().find_map(|(_, ty)| value(ty)),
        Defined::Variant(cases) => cases.iter().filter_map(|case| case.ty.as_ref()).find_map(value),
        Defined::List(ty) | Defined::FixedLengthList(ty, _) | Defined::Option(ty) => value(ty),
        Defined::Map(key, item) => value(key).or_else(|| value(item)),
        Defined::Tuple(types) => types.iter().find_map(value),
        Defined::Result { ok, err } => ok.iter().chain(err).find_map(value),
        Defined::Flags(_) | Defined::Enum(_) | Defined::Own(_) | Defined::Borrow(_) => None,
    }
}

fn value(ty: &ComponentValType) -> Option<&'static str> {
    match ty {
        ComponentValType::Primitive(ty) => primitive(*ty),
        ComponentValType::Type(_) => None,
    }
}

fn primitive(ty: PrimitiveValType) -> Option<&'static str> {
    (ty == PrimitiveValType::ErrorContext).then_some("error-context")
}
