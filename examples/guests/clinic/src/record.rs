//! The record: four buckets.
//!
//! ```text
//! patient     admitted -> Ada Berg, born 1961-03-07
//! readings    weight   -> 68 kg                          the newest of each kind
//! orders      heparin  -> 5440 units, 80 x 68 kg
//! notes       0001     -> Slept well.
//! ```

use reel_guest::{Bucket, Range, Version, abort};

use crate::Result;
use crate::entry::Entry;

/// What a patient can weigh, in kilograms.
const WEIGHTS: std::ops::RangeInclusive<f64> = 0.3..=400.0;

/// The record of the space.
pub struct Record {
    patient: Bucket,
    readings: Bucket,
    orders: Bucket,
    notes: Bucket,
}

impl Record {
    /// The one that is there, or an empty one.
    pub fn open() -> Result<Self> {
        Ok(Self {
            patient: Bucket::open("patient")?,
            readings: Bucket::open("readings")?,
            orders: Bucket::open("orders")?,
            notes: Bucket::open("notes")?,
        })
    }

    /// Begins the record.
    pub fn admit(&self, entry: &Entry) -> Result {
        if let Some(before) = self.patient.get("admitted")? {
            abort(format_args!("this is the record of {}", Entry::stored(&before)?.text()));
        }
        println!("{}: admitted", entry.text());
        Ok(self.patient.set("admitted", entry.to_string())?)
    }

    /// Puts a reading in the place of the one before.
    pub fn reading(&self, kind: &str, value: f64, unit: &str, who: &str) -> Result {
        self.is_begun()?;
        if kind == "weight" && (unit != "kg" || !WEIGHTS.contains(&value)) {
            abort(format_args!("nobody weighs {value} {unit}"));
        }
        let entry = Entry::now(who, &format!("{value} {unit}"))?;
        println!("{kind}: {}", entry.text());
        Ok(self.readings.set(kind, entry.to_string())?)
    }

    /// Orders a drug by weight.
    pub fn order(&self, drug: &str, dose: f64, unit: &str, who: &str) -> Result {
        self.is_begun()?;
        let Some(weight) = self.readings.get("weight")? else { abort("there is no weight to go by") };
        let weight = Entry::stored(&weight)?;
        let kilograms: f64 = weight.text().trim_end_matches(" kg").parse()?;
        let entry =
            Entry::now(who, &format!("{} {unit}, {dose} x {kilograms} kg", (dose * kilograms).round()))?;
        println!("{drug}: {}", entry.text());
        Ok(self.orders.set(drug, entry.to_string())?)
    }

    /// Writes a note.
    pub fn note(&self, entry: &Entry) -> Result {
        self.is_begun()?;
        let last = self.notes.scan(&Range::all()).last().transpose()?;
        let last = last.map_or(Ok(0), |(number, _)| String::from_utf8_lossy(&number).parse::<u32>())?;
        let number = format!("{:04}", last + 1);
        println!("note {number}");
        Ok(self.notes.set(number, entry.to_string())?)
    }

    /// Puts another note in the place of one.
    pub fn rewrite(&self, number: &str, entry: &Entry) -> Result {
        let number = format!("{number:0>4}");
        if !self.notes.exists(&number)? {
            abort(format_args!("there is no note {number}"));
        }
        println!("note {number}");
        Ok(self.notes.set(&number, entry.to_string())?)
    }

    /// Prints the record, as it is or as it was.
    pub fn show(&self, at: Option<Version>) -> Result {
        for (title, bucket) in
            [("patient", &self.patient), ("readings", &self.readings), ("orders", &self.orders), ("notes", &self.notes)]
        {
            let entries = match at {
                None => bucket.scan(&Range::all()),
                Some(version) => bucket.at(version).scan(&Range::all()),
            };
            let entries = entries.collect::<std::result::Result<Vec<_>, _>>()?;
            if !entries.is_empty() {
                println!("{title}");
            }
            for (key, value) in entries {
                println!("{}", Entry::stored(&value)?.line(&String::from_utf8_lossy(&key)));
            }
        }
        Ok(())
    }

    fn is_begun(&self) -> Result {
        match self.patient.exists("admitted")? {
            true => Ok(()),
            false => Err("nobody is admitted here".into()),
        }
    }
}
