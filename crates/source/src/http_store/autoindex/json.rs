//! JSON listings: an array of objects with names (nginx, Caddy and their kin).

use std::fmt;

use chrono::DateTime;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Found, NoListing, Told, name_of};

pub(super) fn read(page: &[u8], found: &mut Found) -> Result<(), NoListing> {
    let mut too_many = false;
    let mut parser = serde_json::Deserializer::from_slice(page);
    let read = Array {
        found,
        too_many: &mut too_many,
    }
    .deserialize(&mut parser)
    .and_then(|()| parser.end());
    match read {
        Ok(()) => Ok(()),
        Err(_) if too_many => Err(NoListing::TooMany),
        Err(error) if error.is_eof() => Err(NoListing::Torn),
        Err(error) => Err(NoListing::OtherJson(error.to_string())),
    }
}

/// The array, its entries taken in one by one, so that no more than the cap is ever held.
struct Array<'a> {
    found: &'a mut Found,
    too_many: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Array<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(item) = array.next_element::<Item>()? {
            // Names are bytes to most servers, so they may be no UTF-8.
            let bare = item.name.strip_suffix(b"/").unwrap_or(&item.name);
            let directory = item.kind == Kind::Directory || bare.len() < item.name.len();
            match name_of(bare) {
                Some(name) if directory || item.kind == Kind::File => {
                    let told = item.size.zip(item.modified);
                    let told = told.map(|(size, modified)| Told { size, modified });
                    if self.found.add(name.to_owned(), directory, told).is_err() {
                        *self.too_many = true;
                        return Err(de::Error::custom("too many"));
                    }
                }
                // The directory itself, and the one above it.
                None if matches!(bare, b"." | b"..") => {}
                _ => self.found.leave_out(&String::from_utf8_lossy(&item.name)),
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    /// A FIFO, a device, a link that leads nowhere.
    Other,
}

struct Item {
    name: Vec<u8>,
    kind: Kind,
    size: Option<u64>,
    modified: Option<i64>,
}

impl<'de> de::Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that has a name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let (mut name, mut kind, mut size, mut modified) = (None, None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => name = Some(map.next_value::<Bytes>()?.0),
                "type" => kind = kind_of(&map.next_value()?).or(kind),
                "is_dir" | "isDir" => match map.next_value()? {
                    Scalar::Bool(true) => kind = Some(Kind::Directory),
                    Scalar::Bool(false) => kind = Some(Kind::File),
                    _ => {}
                },
                "size" => {
                    size = match map.next_value()? {
                        Scalar::Number(number) => Some(number),
                        _ => None,
                    };
                }
                "mtime" | "mod_time" | "modified" => modified = time_of(&map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Item {
            name: name.ok_or_else(|| de::Error::missing_field("name"))?,
            // A name alone says so by its slash.
            kind: kind.unwrap_or(Kind::File),
            size,
            modified,
        })
    }
}

fn kind_of(value: &Scalar) -> Option<Kind> {
    let Scalar::Text(text) = value else {
        return None;
    };
    Some(match text.as_str() {
        "file" => Kind::File,
        "directory" | "dir" | "folder" => Kind::Directory,
        _ => Kind::Other,
    })
}

/// The dates that servers write: HTTP's (nginx), RFC 3339 (Caddy), seconds since 1970.
fn time_of(value: &Scalar) -> Option<i64> {
    match value {
        Scalar::Number(seconds) => i64::try_from(*seconds).ok()?.checked_mul(1_000_000),
        Scalar::Text(text) => match httpdate::parse_http_date(text) {
            Ok(time) => Some(DateTime::<chrono::Utc>::from(time).timestamp_micros()),
            Err(_) => {
                let time = DateTime::parse_from_rfc3339(text).ok()?;
                Some(time.timestamp_micros())
            }
        },
        Scalar::Bool(_) | Scalar::Other => None,
    }
}

/// A value that takes no more memory than it has text, whatever it is.
enum Scalar {
    Bool(bool),
    Number(u64),
    Text(String),
    Other,
}

impl<'de> de::Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Scalar, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// A string that may be no UTF-8.
struct Bytes(Vec<u8>);

impl<'de> de::Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }
}
