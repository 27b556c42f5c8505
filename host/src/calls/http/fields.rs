//! `wasi:http/types.fields`.

use http::{HeaderName, HeaderValue};
use reel_abi::bytes::Bytes;
use reel_abi::http::{FIELDS_BYTES, FieldsFault, is_forbidden};
use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{
    HttpEntries, HttpFieldAppend, HttpFieldGet, HttpFieldHas, HttpFieldSet, HttpFields, HttpFieldsClone,
};
use reel_abi::wire::Wire;
use wasmtime::component::Resource;

use super::state::Fields;
use crate::calls::bindings::wasi::http::types;
use crate::calls::handles::{number, own};
use crate::calls::session::Session;
use crate::gate::Halt;

/// Bytes of all fields that one call may make; stops exhaustion of host memory by many small ones.
const ALL_FIELDS_BYTES: usize = 16 << 20;

/// What a field costs beside its name and value, in bytes.
const FIELD_BYTES: usize = 32;

type Changed = wasmtime::Result<Result<(), types::HeaderError>>;

fn valid_name(name: &str) -> Result<String, FieldsFault> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldsFault::InvalidSyntax)?;
    if is_forbidden(name.as_str()) { Err(FieldsFault::Forbidden) } else { Ok(name.as_str().to_owned()) }
}

fn valid_value(value: &[u8]) -> Result<(), FieldsFault> {
    HeaderValue::from_bytes(value).map(drop).map_err(|_| FieldsFault::InvalidSyntax)
}

fn bytes_of(entries: &[(String, Bytes)]) -> usize {
    entries.iter().map(|(name, value)| FIELD_BYTES + name.len() + value.len()).sum()
}

impl Fields {
    /// Fields of a message.
    pub fn frozen(entries: Vec<(String, Bytes)>) -> Self {
        Self { entries, frozen: true }
    }

    fn values(&self, name: &str) -> Vec<Bytes> {
        let name = name.to_ascii_lowercase();
        self.entries.iter().filter(|(known, _)| *known == name).map(|(_, value)| value.clone()).collect()
    }

    fn check_change(&self, name: &str, values: &[Bytes]) -> Result<String, FieldsFault> {
        let name = valid_name(name)?;
        if self.frozen {
            return Err(FieldsFault::Immutable);
        }
        values.iter().try_for_each(|value| valid_value(value))?;
        Ok(name)
    }

    fn set(&mut self, name: &str, values: &[Bytes]) -> Result<(), FieldsFault> {
        let name = self.check_change(name, values)?;
        self.entries.retain(|(known, _)| *known != name);
        self.entries.extend(values.iter().map(|value| (name.clone(), value.clone())));
        Ok(())
    }

    fn append(&mut self, name: &str, value: &Bytes) -> Result<(), FieldsFault> {
        let name = self.check_change(name, std::slice::from_ref(value))?;
        self.entries.push((name, value.clone()));
        Ok(())
    }
}

impl Session {
    /// Counts fields that are handed out. A bomb of them ends the run.
    pub(super) fn count_fields(&mut self, entries: &[(String, Bytes)]) -> Result<(), Halt> {
        self.count_growth(bytes_of(entries), 0)
    }

    /// Counts what fields grow by; `before` is what they had.
    fn count_growth(&mut self, bytes: usize, before: usize) -> Result<(), Halt> {
        self.http.fields_bytes = self.http.fields_bytes.saturating_add(bytes);
        if bytes.saturating_add(before) > FIELDS_BYTES {
            return Err(Halt::Trap(format!("header fields of more than {FIELDS_BYTES} bytes")));
        }
        if self.http.fields_bytes > ALL_FIELDS_BYTES {
            return Err(Halt::Trap(format!("header fields of more than {ALL_FIELDS_BYTES} bytes in one call")));
        }
        Ok(())
    }

    fn make_fields(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Result<Resource<Fields>, FieldsFault>, Halt> {
        let entries: Vec<(String, Bytes)> = entries.into_iter().map(|(name, value)| (name, value.into())).collect();
        self.count_fields(&entries)?;
        let handles = &mut self.handles;
        let made = self.gate.pass(HttpFields { entries }, |_, call| {
            let mut fields = Fields { entries: Vec::new(), frozen: false };
            for (name, value) in &call.entries {
                if let Err(fault) = fields.append(name, value) {
                    return Ok(Err(fault));
                }
            }
            handles.push(fields).map(Ok)
        })?;
        Ok(made.map(own))
    }

    fn set_field(&mut self, fields: &Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Changed {
        let values: Vec<Bytes> = values.into_iter().map(Bytes).collect();
        let added = values.iter().map(|value| FIELD_BYTES + name.len() + value.len()).sum();
        self.count_growth(added, bytes_of(&self.handles.get(fields)?.entries))?;
        let handles = &mut self.handles;
        let call = HttpFieldSet { fields: number(fields), name, values };
        let set = self.gate.pass(call, |_, call| Ok(handles.get_mut(fields)?.set(&call.name, &call.values)))?;
        Ok(set.map_err(fault))
    }
}

impl types::HostFields for Session {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        self.make_fields(Vec::new())?.map_err(|fault| wasmtime::Error::msg(fault.word()))
    }

    fn from_list(
        &mut self,
        entries: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<Resource<Fields>, types::HeaderError>> {
        Ok(self.make_fields(entries)?.map_err(fault))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let handles = &self.handles;
        let mut values = Vec::new();
        let call = HttpFieldGet { fields: number(&fields), name };
        self.gate.pass(call, |gate, call| {
            values = handles.get(&fields)?.values(&call.name);
            Ok(gate.payload(&values.to_bytes()))
        })?;
        Ok(values.into_iter().map(|value| value.0).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let handles = &self.handles;
        let call = HttpFieldHas { fields: number(&fields), name };
        Ok(self.gate.pass(call, |_, call| Ok(!handles.get(&fields)?.values(&call.name).is_empty()))?)
    }

    fn set(&mut self, fields: Resource<Fields>, name: String, values: Vec<Vec<u8>>) -> Changed {
        self.set_field(&fields, name, values)
    }

    fn delete(&mut self, fields: Resource<Fields>, name: String) -> Changed {
        self.set_field(&fields, name, Vec::new())
    }

    fn append(&mut self, fields: Resource<Fields>, name: String, value: Vec<u8>) -> Changed {
        let added = FIELD_BYTES + name.len() + value.len();
        self.count_growth(added, bytes_of(&self.handles.get(&fields)?.entries))?;
        let handles = &mut self.handles;
        let call = HttpFieldAppend { fields: number(&fields), name, value: value.into() };
        let set = self.gate.pass(call, |_, call| Ok(handles.get_mut(&fields)?.append(&call.name, &call.value)))?;
        Ok(set.map_err(fault))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        let handles = &self.handles;
        let mut entries = Vec::new();
        self.gate.pass(HttpEntries { fields: number(&fields) }, |gate, _| {
            entries.clone_from(&handles.get(&fields)?.entries);
            Ok(gate.payload(&entries.to_bytes()))
        })?;
        Ok(entries.into_iter().map(|(name, value)| (name, value.0)).collect())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let entries = self.handles.get(&fields)?.entries.clone();
        self.count_fields(&entries)?;
        let handles = &mut self.handles;
        let call = HttpFieldsClone { fields: number(&fields) };
        Ok(own(self.gate.pass(call, |_, _| handles.push(Fields { entries, frozen: false }))?))
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Fields, &fields)
    }
}

fn fault(fault: FieldsFault) -> types::HeaderError {
    match fault {
        FieldsFault::InvalidSyntax => types::HeaderError::InvalidSyntax,
        FieldsFault::Forbidden => types::HeaderError::Forbidden,
        FieldsFault::Immutable => types::HeaderError::Immutable,
    }
}
