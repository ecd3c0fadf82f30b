//! Listing pages without the keys that object_store's `Path` cannot hold.
//!
//! S3 and its kin allow keys such as `a//b`, `../x` or `dir/`. object_store parses every key of a page into a `Path`
//! and fails the **whole listing** at the first one that it cannot hold. So such entries are cut out of the
//! page before it parses it: skipped, counted, said once. A key that ends in `/` and holds nothing is the usual
//! marker of a directory; it would come out as a file of that name, so it is cut too, but not worth a warning.

use bytes::Bytes;
use forebay_types::printable;
use object_store::client::HttpRequest;
use object_store::path::Path;
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};

use super::Failure;
use super::meter::WireMeter;

/// S3 and GCS, then Azure.
const ENTRIES: [Entry; 4] = [
    Entry {
        element: b"Contents",
        key: b"Key",
        is_prefix: false,
    },
    Entry {
        element: b"CommonPrefixes",
        key: b"Prefix",
        is_prefix: true,
    },
    Entry {
        element: b"Blob",
        key: b"Name",
        is_prefix: false,
    },
    Entry {
        element: b"BlobPrefix",
        key: b"Name",
        is_prefix: true,
    },
];

/// An element that holds one key, and the element inside that names it.
struct Entry {
    element: &'static [u8],
    key: &'static [u8],
    is_prefix: bool,
}

/// Whether the answer to `request` is a page of keys.
pub(super) fn is_list(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    *request.method() == http::Method::GET
        && query
            .split('&')
            .any(|pair| pair == "list-type=2" || pair == "comp=list")
}

/// The page without impossible entries; the page itself if there are none.
pub(super) fn drop_impossible_keys(page: Bytes, meter: &WireMeter) -> Result<Bytes, Failure> {
    let malformed = |e: &dyn std::fmt::Display| Failure::Malformed {
        what: "listing",
        why: e.to_string(),
    };
    let mut reader = Reader::from_reader(page.as_ref());
    let mut kept = Writer::new(Vec::with_capacity(page.len()));
    let mut dropped = 0_u64;
    // While inside an entry: its element, where it starts in `kept`, and its key as far as read.
    let mut entry: Option<(&Entry, usize)> = None;
    let mut key: Option<String> = None;
    let mut in_key = false;
    loop {
        let event = reader.read_event().map_err(|e| malformed(&e))?;
        let mut drop_to = None;
        match &event {
            Event::Eof => break,
            Event::Start(element) if entry.is_none() => {
                if let Some(kind) = ENTRIES.iter().find(|e| e.element == element.name().as_ref()) {
                    entry = Some((kind, kept.get_ref().len()));
                }
            }
            Event::Start(element) => {
                in_key = entry.is_some_and(|(kind, _)| kind.key == element.name().as_ref()) && key.is_none();
                if in_key {
                    key = Some(String::new());
                }
            }
            Event::Text(text) if in_key => {
                if let Some(key) = &mut key {
                    key.push_str(&text.decode().map_err(|e| malformed(&e))?);
                }
            }
            Event::GeneralRef(reference) if in_key => {
                if let Some(key) = &mut key {
                    match reference.resolve_char_ref().map_err(|e| malformed(&e))? {
                        Some(c) => key.push(c),
                        None => {
                            let name = reference.decode().map_err(|e| malformed(&e))?;
                            key.push_str(
                                quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_default(),
                            );
                        }
                    }
                }
            }
            Event::End(element) => {
                in_key = false;
                if let Some((kind, start)) = entry
                    && kind.element == element.name().as_ref()
                {
                    let name = key.take().unwrap_or_default();
                    if !can_hold(&name, kind.is_prefix) {
                        drop_to = Some(start);
                        if kind.is_prefix || !name.ends_with('/') || Path::parse(&name).is_err() {
                            meter.skipped_key(&printable(&name));
                        }
                    }
                    entry = None;
                }
            }
            _ => {}
        }
        kept.write_event(event).map_err(|e| malformed(&e))?;
        if let Some(start) = drop_to {
            kept.get_mut().truncate(start);
            dropped += 1;
        }
    }
    Ok(if dropped == 0 {
        page
    } else {
        kept.into_inner().into()
    })
}

/// Whether `Path` gives the key back as it is.
fn can_hold(key: &str, is_prefix: bool) -> bool {
    let bare = if is_prefix {
        key.strip_suffix('/').unwrap_or(key)
    } else {
        key
    };
    !bare.is_empty() && Path::parse(bare).is_ok_and(|path| path.as_ref() == bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: &[&str]) -> Bytes {
        let entries: String = keys
            .iter()
            .map(|k| {
                format!(
                    "<Contents><Key>{}</Key><Size>1</Size></Contents>",
                    quick_xml::escape::escape(*k)
                )
            })
            .collect();
        format!("<?xml version=\"1.0\"?><ListBucketResult><Name>b</Name>{entries}<KeyCount>9</KeyCount></ListBucketResult>")
            .into()
    }

    #[test]
    fn only_the_impossible_entries_go() {
        let meter = WireMeter::default();
        let given = page(&[
            "a",
            "a//b",
            "dir/",
            "/abs",
            "x/../y",
            "caf\u{e9} & <tea>",
            "ok/z",
            "bell\u{7}",
        ]);
        let got = drop_impossible_keys(given, &meter).unwrap();
        assert_eq!(got, page(&["a", "caf\u{e9} & <tea>", "ok/z"]));
        // The directory marker is not worth a word.
        assert_eq!(meter.skipped_keys(), 4);
    }

    #[test]
    fn a_clean_page_is_handed_on_untouched() {
        let meter = WireMeter::default();
        let given = page(&["a", "b/c"]);
        assert_eq!(drop_impossible_keys(given.clone(), &meter).unwrap(), given);
        assert_eq!(meter.skipped_keys(), 0);
    }

    #[test]
    fn prefixes_may_end_in_a_slash() {
        let meter = WireMeter::default();
        let xml = "<R><CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>a//</Prefix></CommonPrefixes></R>";
        let got = drop_impossible_keys(Bytes::from(xml), &meter).unwrap();
        assert_eq!(got, "<R><CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></R>");
    }

    #[test]
    fn what_is_no_xml_is_an_error() {
        let meter = WireMeter::default();
        assert!(drop_impossible_keys(Bytes::from("<a><b></a>"), &meter).is_err());
    }
}
