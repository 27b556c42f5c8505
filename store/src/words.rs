//! Cells in the words of those who made them, for people. A key of an unknown form is shown as it is.

use reel_abi::message::Place;
use reel_abi::record::family;

/// No more of a key than this is shown, in bytes.
const SHOWN_BYTES: usize = 80;

/// What a cell holds.
pub(crate) fn cell(family: u8, key: &[u8]) -> String {
    known(family, key).unwrap_or_else(|| format!("key {} of family {family}", shown(key)))
}

fn known(family: u8, key: &[u8]) -> Option<String> {
    match family {
        family::ENTRY => {
            let (parent, name) = number(key)?;
            Some(format!("name {} in directory {parent}", shown(name)))
        }
        family::NODE => match number(key)? {
            (0, []) => Some("the count of files".to_owned()),
            (node, []) => Some(format!("file {node}")),
            _ => None,
        },
        family::BLOCK => {
            let (content, rest) = number(key)?;
            let (block, rest) = number(rest)?;
            rest.is_empty().then(|| format!("block {block} of content {content}"))
        }
        family::KEY_VALUE => {
            let Some((len, rest)) = key.split_first() else { return Some("the count of keys".to_owned()) };
            let (bucket, key) = rest.split_at_checked(usize::from(*len))?;
            Some(format!("key {} of bucket {}", shown(key), shown(bucket)))
        }
        family::TIMES => {
            let (node, rest) = number(key)?;
            rest.is_empty().then(|| format!("the times of directory {node}"))
        }
        family::QUEUE => match Place::parse(key) {
            None => key.is_empty().then(|| "the count of messages".to_owned()),
            Some(Place::Ready(id)) => Some(format!("message {id}")),
            Some(Place::Waiting(_, id)) => Some(format!("message {id}, which waits")),
            Some(Place::Dead(id)) => Some(format!("dead letter {id}")),
        },
        _ => None,
    }
}

fn number(key: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > SHOWN_BYTES { "..." } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_names() {
        let seven = 7u64.to_be_bytes();
        assert_eq!(cell(family::ENTRY, &[&seven[..], b"a\x1bb"].concat()), r#"name "a\x1bb" in directory 7"#);
        assert_eq!(cell(family::NODE, &seven), "file 7");
        assert_eq!(cell(family::NODE, &[0; 8]), "the count of files");
        assert_eq!(cell(family::BLOCK, &[seven, 2u64.to_be_bytes()].concat()), "block 2 of content 7");
        assert_eq!(cell(family::KEY_VALUE, b"\x04carsaudi"), r#"key "audi" of bucket "cars""#);
        assert_eq!(cell(family::KEY_VALUE, b""), "the count of keys");
        assert_eq!(cell(family::TIMES, &seven), "the times of directory 7");
        for odd in [&b"\xffxx"[..], b"\x01"] {
            for family in 0..=8 {
                assert!(!cell(family, odd).is_empty());
            }
        }
        assert!(cell(99, &[b'k'; 500]).len() < 120);
    }
}
