//! Which functions of a core module can be called once it is instantiated.

use std::collections::BTreeMap;

use wasmparser::{
    ConstExpr, ElementItems, ExternalKind, ImportSectionReader, Operator, Parser, Payload, Result, TableInit, TypeRef,
};

/// Functions, as a set.
#[derive(Debug)]
pub(super) struct Functions(Vec<bool>);

impl Functions {
    /// Whether the function is in it.
    pub(super) fn contains(&self, function: u32) -> bool {
        self.0.get(function as usize).copied().unwrap_or(false)
    }
}

/// All functions that are exported or referred to, and what they call. What is called by the start function alone is not among them, and neither is
/// what nobody calls. The module must be valid.
pub(super) fn after_start(module: &[u8]) -> Result<Functions> {
    let mut graph = Graph::default();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => graph.functions += imported(section)?,
            Payload::TableSection(section) => {
                for table in section {
                    if let TableInit::Expr(expression) = table?.init {
                        graph.constant(&expression)?;
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    graph.constant(&global?.init_expr)?;
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                        graph.roots.push(export.index);
                    }
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    match element?.items {
                        ElementItems::Functions(items) => {
                            for function in items {
                                graph.roots.push(function?);
                            }
                        }
                        ElementItems::Expressions(_, items) => {
                            for expression in items {
                                graph.constant(&expression?)?;
                            }
                        }
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                let caller = graph.functions;
                graph.functions += 1;
                for op in body.get_operators_reader()? {
                    graph.refer(Some(caller), &op?);
                }
            }
            _ => {}
        }
    }
    Ok(graph.close())
}

fn imported(section: ImportSectionReader<'_>) -> Result<u32> {
    let mut functions = 0;
    for import in section.into_imports() {
        functions += u32::from(matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_)));
    }
    Ok(functions)
}

/// Who calls whom.
#[derive(Debug, Default)]
struct Graph {
    functions: u32,
    roots: Vec<u32>,
    calls: BTreeMap<u32, Vec<u32>>,
}

impl Graph {
    fn constant(&mut self, expression: &ConstExpr<'_>) -> Result<()> {
        for op in expression.get_operators_reader() {
            self.refer(None, &op?);
        }
        Ok(())
    }

    fn refer(&mut self, caller: Option<u32>, op: &Operator<'_>) {
        let (Operator::Call { function_index }
        | Operator::ReturnCall { function_index }
        | Operator::RefFunc { function_index }) = *op
        else {
            return;
        };
        match caller {
            Some(caller) => self.calls.entry(caller).or_default().push(function_index),
            None => self.roots.push(function_index),
        }
    }

    fn close(self) -> Functions {
        let mut reached = vec![false; self.functions as usize];
        let mut open = self.roots;
        while let Some(function) = open.pop() {
            match reached.get_mut(function as usize) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            open.extend(self.calls.get(&function).into_iter().flatten());
        }
        Functions(reached)
    }
}
