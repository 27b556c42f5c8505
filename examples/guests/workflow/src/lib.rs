//! An order from beginning to end as one function with a pause of three days in it.
//!
//! There is no table of states, no queue and no job that looks what is due. The function waits where it stands.

mod outside;

use std::thread::sleep;
use std::time::Duration;

use reel_guest::{Bucket, Range};

wit_bindgen::generate!({ path: "wit", world: "workflow" });

/// How long a buyer can think better of it, unless `WAIT_SECONDS` says otherwise.
const THREE_DAYS: Duration = Duration::from_secs(3 * 24 * 60 * 60);

struct Shop;

impl exports::example::workflow::shop::Guest for Shop {
    fn stock(item: String, count: i64) -> Result<i64, String> {
        Ok(bucket("stock")?.increment(item, count).map_err(words)?)
    }

    fn order(id: String, item: String, cents: u64) -> Result<String, String> {
        let (orders, stock) = (bucket("orders")?, bucket("stock")?);
        if orders.exists(format!("{id}/1")).map_err(words)? {
            return Err(format!("there is an order {id} already"));
        }
        let step = |number: u32, text: String| orders.set(format!("{id}/{number}"), text).map_err(words);

        if stock.increment(&item, -1).map_err(words)? < 0 {
            stock.increment(&item, 1).map_err(words)?;
            return Err(format!("there is no {item}"));
        }
        step(1, format!("{item} is reserved"))?;

        let (receipt, attempts) = outside::ask("bank").unwrap_or_else(|why| reel_guest::abort(why));
        step(2, format!("{}.{:02} paid, receipt {receipt}, after {attempts} attempts", cents / 100, cents % 100))?;

        sleep(wait());

        let (parcel, attempts) = outside::ask("carrier").unwrap_or_else(|why| reel_guest::abort(why));
        step(3, format!("parcel {parcel} is shipped, after {attempts} attempts"))?;
        Ok(format!("parcel {parcel}"))
    }

    fn steps(id: String) -> Result<Vec<String>, String> {
        let mut steps = Vec::new();
        for entry in bucket("orders")?.scan(&Range::prefix(format!("{id}/"))) {
            let (_, text) = entry.map_err(words)?;
            steps.push(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(steps)
    }
}

fn wait() -> Duration {
    let seconds = std::env::var("WAIT_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(THREE_DAYS, Duration::from_secs)
}

fn bucket(name: &str) -> Result<Bucket, String> {
    Bucket::open(name).map_err(words)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

export!(Shop);
