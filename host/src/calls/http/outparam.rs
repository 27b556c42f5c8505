//! The guest's answer to its request.

use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::HttpRespond;
use wasmtime::component::Resource;

use super::state::{Answer, Fields, OutgoingResponse, ResponseOutparam};
use super::words::{code, fault};
use crate::calls::bindings::wasi::http::types;
use crate::calls::handles::number;
use crate::calls::session::Session;
use reel_abi::http::{HttpCode, HttpFault};
use reel_abi::vocabulary::HttpInformational;

impl types::HostResponseOutparam for Session {
    fn send_informational(
        &mut self,
        out: Resource<ResponseOutparam>,
        status: u16,
        headers: Resource<Fields>,
    ) -> wasmtime::Result<Result<(), types::ErrorCode>> {
        let handles = &mut self.handles;
        let call = HttpInformational { out: number(&out), status, headers: number(&headers) };
        let sent = self.gate.pass(call, |_, call| {
            handles.remove::<Fields>(call.headers)?;
            Ok(Err(HttpFault { code: HttpCode::InternalError, text: Some("not supported".into()), number: None }))
        })?;
        Ok(sent.map_err(code))
    }

    fn set(
        &mut self,
        out: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, types::ErrorCode>,
    ) -> wasmtime::Result<()> {
        let (handles, http) = (&mut self.handles, &mut self.http);
        let response = response.map(|response| number(&response)).map_err(fault);
        Ok(self.gate.pass(HttpRespond { out: number(&out), response }, |_, call| {
            handles.remove::<ResponseOutparam>(call.out)?;
            http.answer = Some(match &call.response {
                Ok(handle) => {
                    let OutgoingResponse { head, body } = handles.remove(*handle)?;
                    Answer { head: Ok(head), body }
                }
                Err(fault) => Answer { head: Err(fault.clone()), body: None },
            });
            Ok(())
        })?)
    }

    fn drop(&mut self, out: Resource<ResponseOutparam>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::ResponseOutparam, &out)
    }
}
