//! The resource types that a component imports.

use std::collections::BTreeSet;

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;

use super::obstacle::Obstacle;
use super::plan::RESOURCES;

/// An import that may bring resource types.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) source: Source,
}

/// Where a type comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// An export of the component instance of this index.
    Instance(u32),
    /// The type of this index.
    Type(u32),
}

/// An imported resource type.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) source: Source,
    pub(super) interface: String,
    pub(super) name: String,
}

/// All resource types of these imports, at the first place where each is met, or what of them cannot be dealt with.
pub(super) fn resources(imports: &[Import], types: &Types) -> Result<Vec<Resource>, Vec<Obstacle>> {
    let (mut known, mut found, mut obstacles) = (BTreeSet::new(), Vec::new(), Vec::new());
    for Import { name, source } in imports {
        let instance = match *source {
            Source::Type(index) => {
                if let ComponentAnyTypeId::Resource(id) = types.component_any_type_at(index)
                    && known.insert(id.resource())
                {
                    found.push(Resource { source: *source, interface: String::new(), name: name.clone() });
                }
                continue;
            }
            Source::Instance(index) => types.component_instance_at(index),
        };
        for (item, entity) in &types[instance].exports {
            let kind = match entity.ty {
                ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } => {
                    if known.insert(id.resource()) {
                        found.push(Resource { source: *source, interface: name.clone(), name: item.clone() });
                    }
                    continue;
                }
                ComponentEntityType::Type { .. } | ComponentEntityType::Func(_) => continue,
                ComponentEntityType::Instance(id) => {
                    if !only_functions(types, id) {
                        obstacles.push(Obstacle::DeepResource { name: name.clone() });
                    }
                    continue;
                }
                ComponentEntityType::Module(_) => "core module",
                ComponentEntityType::Component(_) => "component",
                ComponentEntityType::Value(_) => "value",
            };
            obstacles.push(Obstacle::Imported { name: format!("{name}#{item}"), kind });
        }
    }
    if found.len() > RESOURCES {
        obstacles.push(Obstacle::TooMany { what: "resource types", count: found.len(), max: RESOURCES });
    }
    if obstacles.is_empty() { Ok(found) } else { Err(obstacles) }
}

fn only_functions(types: &Types, instance: ComponentInstanceTypeId) -> bool {
    types[instance].exports.values().all(|item| match item.ty {
        ComponentEntityType::Func(_) => true,
        ComponentEntityType::Type { created, .. } => !matches!(created, ComponentAnyTypeId::Resource(_)),
        _ => false,
    })
}
