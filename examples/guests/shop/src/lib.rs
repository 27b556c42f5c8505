//! An online shop: a handler of HTTP requests as it would be made for any host of WASI, with its products, carts and orders in buckets.
//!
//! Each request is a transaction. It knows nothing of retries, locks or half orders: an order whose payment fails has never been.
//!
//! ```text
//! GET  /shop                       what there is
//! PUT  /shop/products/NAME         {"cents": 350, "stock": 10}
//! GET  /shop/carts/CART
//! PUT  /shop/carts/CART/NAME       how many
//! POST /shop/orders                {"cart": CART, "mail": ADDRESS}, with an Idempotency-Key
//! GET  /shop/orders/KEY
//! ```

mod orders;
mod payment;

use json_http::{Refusal, answer, body, field};
use serde_json::{Value, json, to_value};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Shop;
wasip2::http::proxy::export!(Shop);

impl Guest for Shop {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match done(&request) {
            Ok((status, value)) => answer(out, status, &value),
            Err(Refusal(status, why)) => answer(out, status, &json!({ "error": why })),
        }
    }
}

fn done(request: &IncomingRequest) -> Result<(u16, Value), Refusal> {
    let path = request.path_with_query().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Ok(match (request.method(), parts.as_slice()) {
        (Method::Get, ["shop"]) => (200, to_value(orders::products()?)?),
        (Method::Put, ["shop", "products", name]) => {
            orders::offer(name, &body(request)?)?;
            (200, to_value(orders::products()?)?)
        }
        (Method::Get, ["shop", "carts", cart]) => (200, to_value(orders::cart(cart)?)?),
        (Method::Put, ["shop", "carts", cart, name]) => {
            (200, to_value(orders::put_into_cart(cart, name, body(request)?)?)?)
        }
        (Method::Post, ["shop", "orders"]) => {
            let key = field(request, "idempotency-key");
            let key = key.ok_or_else(|| Refusal::new(400, "an order needs an Idempotency-Key"))?;
            (201, to_value(orders::place(&key, body(request)?)?)?)
        }
        (Method::Get, ["shop", "orders", key]) => match orders::order(key)? {
            Some(order) => (200, to_value(order)?),
            None => return Err(Refusal(404, format!("there is no order {key}"))),
        },
        _ => return Err(Refusal::new(404, "there is nothing here")),
    })
}
