//! Carts and orders.

use std::collections::BTreeMap;

use reel_guest::{Bucket, Message, Range, savepoint};
use serde::{Deserialize, Serialize};

use json_http::Refusal;
use crate::payment;

/// Most of a thing that one order can have.
const MOST: u32 = 1000;

#[derive(Serialize, Deserialize)]
pub struct Product {
    pub cents: u64,
    pub stock: u32,
}

/// Things, and how many of each.
type Things = BTreeMap<String, u32>;

#[derive(Serialize, Deserialize)]
pub struct Order {
    cart: String,
    mail: String,
    things: Things,
    cents: u64,
    receipt: u64,
}

/// What is asked for.
#[derive(Deserialize)]
pub struct Wanted {
    cart: String,
    mail: String,
}

pub fn products() -> Result<BTreeMap<String, Product>, Refusal> {
    let (prices, stock) = (Bucket::open("prices")?, Bucket::open("stock")?);
    let mut products = BTreeMap::new();
    for entry in prices.scan(&Range::all()) {
        let (name, cents) = entry?;
        let stock = number(stock.get(&name)?)?;
        products.insert(text(name), Product { cents: number(Some(cents))?, stock });
    }
    Ok(products)
}

pub fn offer(name: &str, product: &Product) -> Result<(), Refusal> {
    Bucket::open("prices")?.set(name, product.cents.to_string())?;
    Ok(Bucket::open("stock")?.set(name, product.stock.to_string())?)
}

pub fn cart(name: &str) -> Result<Things, Refusal> {
    let mut things = Things::new();
    let before = format!("{name}/");
    for entry in Bucket::open("carts")?.scan(&Range::prefix(&before)) {
        let (key, count) = entry?;
        things.insert(text(key[before.len()..].to_vec()), number(Some(count))?);
    }
    Ok(things)
}

pub fn put_into_cart(name: &str, thing: &str, count: u32) -> Result<Things, Refusal> {
    if count > MOST {
        return Err(Refusal(400, format!("at most {MOST} of a thing")));
    }
    if !Bucket::open("prices")?.exists(thing)? {
        return Err(Refusal(404, format!("there is no {thing}")));
    }
    let carts = Bucket::open("carts")?;
    match count {
        0 => carts.delete(format!("{name}/{thing}"))?,
        _ => carts.set(format!("{name}/{thing}"), count.to_string())?,
    }
    cart(name)
}

pub fn order(key: &str) -> Result<Option<Order>, Refusal> {
    let known = Bucket::open("orders")?.get(key)?;
    Ok(known.map(|known| serde_json::from_slice(&known)).transpose()?)
}

/// Orders what is in a cart, once for each key: whoever got no answer asks again with the same one.
pub fn place(key: &str, wanted: Wanted) -> Result<Order, Refusal> {
    match order(key)? {
        None => {}
        Some(known) if (&known.cart, &known.mail) == (&wanted.cart, &wanted.mail) => return Ok(known),
        Some(_) => return Err(Refusal(422, format!("{key} is another order"))),
    }
    // Where the order is refused, nothing of it stays.
    savepoint(|| {
        let things = cart(&wanted.cart)?;
        if things.is_empty() {
            return Err(Refusal::new(409, "the cart is empty"));
        }
        let cents = take(&things).or_else(|refusal| {
            // This request may have paid and then have been overtaken by the one that took the last.
            payment::give_back(key)?;
            Err(refusal)
        })?;
        let receipt = payment::pay(key, cents)?;
        let carts = Bucket::open("carts")?;
        things.keys().try_for_each(|thing| carts.delete(format!("{}/{thing}", wanted.cart)))?;
        let order = Order { cart: wanted.cart, mail: wanted.mail, things, cents, receipt };
        Bucket::open("orders")?.set(key, serde_json::to_vec(&order)?)?;
        tell(key, &order)?;
        Ok(order)
    })
}

/// Takes things from the stock: what they cost.
fn take(things: &Things) -> Result<u64, Refusal> {
    let (prices, stock) = (Bucket::open("prices")?, Bucket::open("stock")?);
    let mut cents = 0;
    for (thing, &count) in things {
        let there: u32 = number(stock.get(thing)?)?;
        // As it was first written, it panics where there is not enough.
        #[cfg(feature = "first")]
        let left = there - count;
        #[cfg(not(feature = "first"))]
        let left = there.checked_sub(count).ok_or_else(|| Refusal(409, format!("there is not so much {thing}")))?;
        stock.set(thing, left.to_string())?;
        cents += u64::from(count) * number::<u64>(prices.get(thing)?)?;
    }
    Ok(cents)
}

/// Sends a mail. It leaves with the order, or not at all.
fn tell(key: &str, order: &Order) -> Result<(), Refusal> {
    let mut text = String::new();
    for (thing, count) in &order.things {
        text.push_str(&format!("{count} x {thing}\n"));
    }
    text.push_str(&format!("{}.{:02} paid, receipt {}\n", order.cents / 100, order.cents % 100, order.receipt));
    let mail = Message::new(text).key(order.mail.as_str());
    Ok(mail.header("to", &order.mail).header("subject", format!("your order {key}")).send("mail")?)
}

fn number<T: std::str::FromStr + Default>(digits: Option<Vec<u8>>) -> Result<T, Refusal> {
    let Some(digits) = digits else { return Ok(T::default()) };
    text(digits).parse().map_err(|_| Refusal::new(500, "a number in a bucket is none"))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
