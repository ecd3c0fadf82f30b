//! From bytes to a manifest: which format it is, then its entries.

use std::borrow::Cow;

use forebay_types::printable;

use crate::error::{EntryName, Fault, List, ManifestError};
use crate::json::{Reader, Text};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::{draft, v2023};

/// Reads a manifest of either version.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Manifest, ManifestError> {
    if bytes.len() > limits.bytes {
        return Err(ManifestError::TooLarge {
            what: "more bytes",
            most: limits.bytes as u64,
        });
    }
    let text = str::from_utf8(bytes)
        .map_err(|error| Fault::syntax(error.valid_up_to(), "it is not UTF-8").of_document())?;
    let top = Top::read(text).map_err(Fault::of_document)?;
    match (top.value("manifestVersion"), top.value("specificationVersion")) {
        (Some(mut version), None) => {
            let version = version.string().map_err(Fault::of_document)?;
            known(
                version,
                &["2023-03-03"],
                "manifestVersion",
                "2023-03-03 is read (and, as a draft, beta-2025-12)",
            )?;
            v2023::decode(&top, limits)
        }
        (None, Some(mut version)) => {
            let version = version.string().map_err(Fault::of_document)?;
            draft::decode(&top, version, limits)
        }
        (None, None) => Err(ManifestError::document(
            "it has neither a manifestVersion nor a specificationVersion: it is no manifest",
        )),
        (Some(_), Some(_)) => Err(ManifestError::document(
            "it has a manifestVersion and a specificationVersion, and can be of one format only",
        )),
    }
}

/// Which of `values` it is that stands at `key`.
pub(crate) fn known(
    text: Text<'_>,
    values: &[&str],
    key: &'static str,
    advice: &'static str,
) -> Result<usize, ManifestError> {
    let found = text
        .plain()
        .and_then(|text| values.iter().position(|value| *value == text));
    found.ok_or_else(|| ManifestError::Unknown {
        key,
        value: printable(&text.raw().chars().take(100).collect::<String>()).into_owned(),
        advice,
    })
}

/// Keys at the top of a manifest. Each of those that are found, with the place of its value.
pub(crate) struct Top<'a> {
    reader: Reader<'a>,
    values: [Option<usize>; TOP_KEYS.len()],
}

const TOP_KEYS: [&str; 9] = [
    "dirs",
    "fileChunkSizeBytes",
    "files",
    "hashAlg",
    "manifestVersion",
    "parentManifestHash",
    "paths",
    "specificationVersion",
    "totalSize",
];

impl<'a> Top<'a> {
    /// Goes through the whole text once, so that the values can be read in the order in which they need each other, and a
    /// format that is not known is refused for that.
    fn read(text: &'a str) -> Result<Self, Fault> {
        let mut reader = Reader::new(text);
        let mut values = [None; TOP_KEYS.len()];
        reader.object()?;
        let mut first = true;
        while let Some(key) = reader.key(&mut first)? {
            let Some(number) = TOP_KEYS.iter().position(|known| known.as_bytes() == &*key) else {
                return Err(unknown_key(&key));
            };
            if values[number].replace(reader.at()).is_some() {
                return Err(twice(TOP_KEYS[number]));
            }
            reader.skip()?;
        }
        reader.end()?;
        Ok(Self { reader, values })
    }

    /// The value of `key`, if it is there.
    pub(crate) fn value(&self, key: &str) -> Option<Reader<'a>> {
        let number = TOP_KEYS.iter().position(|known| *known == key)?;
        self.values[number].map(|at| self.reader.from(at))
    }

    /// The value of `key`, which has to be there.
    pub(crate) fn required(&self, key: &'static str) -> Result<Reader<'a>, ManifestError> {
        self.value(key)
            .ok_or_else(|| ManifestError::document(format!("it has no `{key}`")))
    }

    /// The keys of the other format have no place here.
    pub(crate) fn refuse(&self, keys: &[&'static str]) -> Result<(), ManifestError> {
        match keys.iter().find(|key| self.value(key).is_some()) {
            Some(key) => Err(unknown_key(key.as_bytes()).of_document()),
            None => Ok(()),
        }
    }

    /// `hashAlg` and `totalSize`, which both formats have.
    pub(crate) fn total_size(&self) -> Result<i128, ManifestError> {
        let algorithm = self.required("hashAlg")?.string().map_err(Fault::of_document)?;
        known(
            algorithm,
            &["xxh128"],
            "hashAlg",
            "xxh128 is the one that is read",
        )?;
        self.required("totalSize")?.integer().map_err(Fault::of_document)
    }
}

/// Goes through a list. What is wrong with an entry is told with its number and its path, which stands at `key`.
pub(crate) fn each<'a>(
    mut reader: Reader<'a>,
    list: List,
    key: &'static str,
    mut entry: impl FnMut(&mut Reader<'a>) -> Result<(), Fault>,
) -> Result<(), ManifestError> {
    let mut first = true;
    let mut index = 0;
    reader.array().map_err(Fault::of_document)?;
    while reader.item(&mut first).map_err(Fault::of_document)? {
        let start = reader.clone();
        entry(&mut reader).map_err(|fault| {
            fault.of(|| {
                let path = look_up(start, key).ok().flatten();
                Some(EntryName::new(list, Some(index), path.as_deref()))
            })
        })?;
        index += 1;
    }
    Ok(())
}

/// The string at `key` of an object, as well as it can be read: an error is to name it.
fn look_up(mut reader: Reader<'_>, wanted: &str) -> Result<Option<Vec<u8>>, Fault> {
    let mut first = true;
    reader.object()?;
    while let Some(key) = reader.key(&mut first)? {
        if &*key == wanted.as_bytes() {
            let text = reader.string()?;
            let mut bytes = Vec::new();
            return Ok(Some(match text.bytes(&mut bytes) {
                Ok(bytes) => bytes.to_vec(),
                Err(_) => text.raw().into(),
            }));
        }
        reader.skip()?;
    }
    Ok(None)
}

/// Reads an object with `keys`, each at most once, and no others: calls `value` with the number of the key.
pub(crate) fn object<'a, const N: usize>(
    reader: &mut Reader<'a>,
    keys: &[&'static str; N],
    mut value: impl FnMut(&mut Reader<'a>, usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut seen = [false; N];
    let mut first = true;
    reader.object()?;
    while let Some(key) = reader.key(&mut first)? {
        let Some(number) = keys.iter().position(|known| known.as_bytes() == &*key) else {
            return Err(unknown_key(&key));
        };
        if std::mem::replace(&mut seen[number], true) {
            return Err(twice(keys[number]));
        }
        value(reader, number)?;
    }
    Ok(())
}

/// `value`, or that its key is missing.
pub(crate) fn present<T>(value: Option<T>, key: &'static str) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::refused(format!("it has no `{key}`")))
}

/// A size in bytes.
pub(crate) fn size(value: i128) -> Result<u64, Fault> {
    u64::try_from(value)
        .map_err(|_| Fault::refused(format!("its size of {value} bytes is none that a file can have")))
}

/// A time in microseconds.
pub(crate) fn mtime(value: i128) -> Result<i64, Fault> {
    i64::try_from(value).map_err(|_| {
        Fault::refused(format!(
            "its mtime of {value} µs is beyond the 64 bits that a time has"
        ))
    })
}

/// A hash.
pub(crate) fn hash(text: Text<'_>) -> Result<crate::Hash, Fault> {
    // Escapes stand for nothing here that could not be written without one.
    text.plain()
        .and_then(|text| crate::Hash::parse(text.as_bytes()))
        .ok_or_else(|| {
            let shown: String = text.raw().chars().take(100).collect();
            let shown = printable(&shown);
            Fault::refused(format!(
                "\"{shown}\" is no hash: it has to be 1 to 128 letters and digits"
            ))
        })
}

fn unknown_key(key: &[u8]) -> Fault {
    let key = String::from_utf8_lossy(key);
    let shown: String = key.chars().take(100).collect();
    let why: Cow<'static, str> = format!(
        "the key `{}` is not known; what it says would be lost when the manifest is written again, so a newer version of \
         this program is needed to read it",
        printable(&shown)
    )
    .into();
    Fault::Refused(why)
}

fn twice(key: &'static str) -> Fault {
    Fault::refused(format!("the key `{key}` is there twice"))
}
