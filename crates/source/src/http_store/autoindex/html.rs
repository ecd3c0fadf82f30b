//! HTML listings: a page of links to what is in the directory.
//!
//! No parser of HTML, which a listing does not need: tags are found, `a` gives a link and the text up to its end, `title`
//! and `h1` tell what the page says it is, comments and scripts are passed over.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::Url;

use super::{Found, NoListing, name_of};

/// How the titles of listings begin, in lower case: nginx, Apache and lighttpd; Python and Tomcat; Jetty.
const TITLES: [&str; 3] = ["index of /", "directory listing for", "directory: /"];
/// Text of one link or title that is looked at, in bytes: more than a name has.
const MAX_TEXT: usize = 1024;

pub(super) fn read(base: &Url, page: &[u8], whole: bool, found: &mut Found) -> Result<(), NoListing> {
    let page = String::from_utf8_lossy(page);
    let mut reading = Reading::default();
    let mut links = Links {
        base,
        found,
        // Of a page that does not say what it is: how many of its links show the names that they lead to.
        shown: 0,
        others: 0,
        unshown: Vec::new(),
    };
    let mut rest = &*page;
    while let Some(at) = rest.find('<') {
        reading.text(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        if !Tag::begins(rest) {
            reading.text("<");
            rest = &rest[1..];
            continue;
        }
        let Some((tag, after)) = Tag::read(rest) else {
            // The page ends within the tag.
            rest = "";
            break;
        };
        rest = after;
        if let Some(link) = reading.tag(&tag) {
            links.take(&link)?;
        }
        if !tag.end && matches!(tag.name.as_str(), "script" | "style") {
            rest = after_element(rest, &tag.name);
        }
    }
    // A link that is not closed is no whole page.
    reading.text(rest);
    if let Some(link) = reading.link.take() {
        links.take(&link)?;
    }
    if !whole && !reading.ended {
        return Err(NoListing::Torn);
    }
    let says_so = reading.says_so;
    let empty = !reading.any_text && reading.preformatted && links.others == 0;
    links.finish(says_so, empty)
}

/// What was seen so far.
#[derive(Default)]
struct Reading {
    link: Option<Link>,
    /// The text of a title or heading that is open.
    title: Option<String>,
    /// A title or heading says that this is a listing.
    says_so: bool,
    any_text: bool,
    preformatted: bool,
    /// The element that holds all the rest was closed.
    ended: bool,
}

struct Link {
    href: String,
    text: String,
}

impl Reading {
    fn text(&mut self, text: &str) {
        self.any_text |= !text.trim().is_empty();
        let open = self
            .title
            .as_mut()
            .or(self.link.as_mut().map(|link| &mut link.text));
        if let Some(open) = open {
            let mut room = MAX_TEXT.saturating_sub(open.len()).min(text.len());
            while !text.is_char_boundary(room) {
                room -= 1;
            }
            open.push_str(&text[..room]);
        }
    }

    /// Gives the link that a tag ended.
    fn tag(&mut self, tag: &Tag) -> Option<Link> {
        match (tag.name.as_str(), tag.end) {
            ("a", end) => {
                let before = self.link.take();
                if !end && let Some(href) = &tag.href {
                    self.link = Some(Link {
                        href: href.clone(),
                        text: String::new(),
                    });
                }
                return before;
            }
            ("title" | "h1", false) => self.title = Some(String::new()),
            ("title" | "h1", true) => {
                if let Some(title) = self.title.take() {
                    let title = unescape(title.trim()).to_lowercase();
                    self.says_so |= TITLES.iter().any(|begin| title.starts_with(begin));
                }
            }
            ("pre", end) => {
                self.preformatted = true;
                self.ended |= end;
            }
            ("html" | "body", true) => self.ended = true,
            _ => {}
        }
        None
    }
}

/// Links, sorted into names of this directory and others.
struct Links<'a> {
    base: &'a Url,
    found: &'a mut Found,
    shown: usize,
    others: usize,
    /// Names that the text of their links does not show.
    unshown: Vec<(String, bool)>,
}

impl Links<'_> {
    fn take(&mut self, link: &Link) -> Result<(), NoListing> {
        match child(self.base, &unescape(&link.href)) {
            Child::Elsewhere => {}
            Child::Impossible(name) => self.found.leave_out(&name),
            Child::Name(name, directory) => {
                if is_shown(&name, &unescape(&link.text)) {
                    self.shown += 1;
                    return self.found.add(name, directory, None);
                }
                self.others += 1;
                if self.unshown.len() >= forebay_types::limits::MAX_WEB_ENTRIES {
                    return Err(NoListing::TooMany);
                }
                self.unshown.push((name, directory));
            }
        }
        Ok(())
    }

    /// `says_so`: the page says that it is a listing, so all its links are names. `empty`: there is nothing on it.
    fn finish(self, says_so: bool, empty: bool) -> Result<(), NoListing> {
        if says_so {
            for (name, directory) in self.unshown {
                self.found.add(name, directory, None)?;
            }
            return Ok(());
        }
        // An index.html has links to names, too, but calls them something else.
        if self.shown > self.others || empty {
            Ok(())
        } else {
            Err(NoListing::OtherPage)
        }
    }
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// Out of the directory, into a directory of it, or to the page itself.
    Elsewhere,
    /// To a name in it that no path can hold.
    Impossible(String),
    /// To a name in it; the flag says that it is a directory.
    Name(String, bool),
}

/// Resolves a link as browsers do, and takes what lies right below `base`.
pub(super) fn child(base: &Url, href: &str) -> Child {
    let Ok(url) = base.join(href) else {
        return Child::Elsewhere;
    };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.origin() != base.origin() || !plain || url.password().is_some() {
        return Child::Elsewhere;
    }
    let Some(below) = below(base.path(), url.path()) else {
        return Child::Elsewhere;
    };
    let name = below.strip_suffix('/').unwrap_or(below);
    if name.is_empty() || name.contains('/') {
        return Child::Elsewhere;
    }
    let decoded: Cow<'_, [u8]> = percent_decode_str(name).into();
    match name_of(&decoded) {
        // A byte that is no UTF-8 stood there when the page was read.
        Some(good) if !href.contains('\u{FFFD}') => Child::Name(good.to_owned(), name.len() < below.len()),
        _ => Child::Impossible(String::from_utf8_lossy(&decoded).into_owned()),
    }
}

/// What of `path` is below the directory `base`, whichever way the two are encoded.
fn below<'a>(base: &str, path: &'a str) -> Option<&'a str> {
    if let Some(below) = path.strip_prefix(base) {
        return Some(below);
    }
    let mut rest = path;
    for segment in base.split_inclusive('/') {
        let (here, after) = rest.split_at(rest.find('/')? + 1);
        if !percent_decode_str(here).eq(percent_decode_str(segment)) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Whether the text of a link is the name that it leads to, perhaps with a slash, or cut and dotted.
fn is_shown(name: &str, text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    if text == name.trim() {
        return true;
    }
    let cut = ["..>", "...", "\u{2026}"]
        .iter()
        .find_map(|dots| text.strip_suffix(dots));
    cut.is_some_and(|start| !start.is_empty() && name.starts_with(start))
}

/// A tag: its name in lower case, and where it links to.
struct Tag {
    name: String,
    end: bool,
    href: Option<String>,
}

impl Tag {
    fn begins(text: &str) -> bool {
        let inner = text.strip_prefix('<').unwrap_or_default();
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '!' | '?'))
    }

    /// The tag that begins `text`, and what follows. `None` if it has no end.
    fn read(text: &str) -> Option<(Self, &str)> {
        let inner = text.strip_prefix('<')?;
        let (inner, end) = match inner.strip_prefix('/') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let len = inner.find(|c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/'))?;
        let name = inner[..len].to_ascii_lowercase();
        let mut rest = &inner[len..];
        let mut href = None;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            if let Some(after) = rest.strip_prefix('>') {
                return Some((Self { name, end, href }, after));
            }
            let (attribute, value, after) = attribute(rest)?;
            if name == "a" && href.is_none() && attribute.eq_ignore_ascii_case("href") {
                href = value.map(|value| value.trim_ascii().to_owned());
            }
            rest = after;
        }
    }
}

/// An attribute, its value if it has one, and what follows.
fn attribute(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let first = text.chars().next()?;
    // A stray `=` is part of a name.
    let begin = first.len_utf8();
    let len = text[begin..].find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))? + begin;
    let (name, rest) = text.split_at(len);
    let Some(value) = rest.trim_ascii_start().strip_prefix('=') else {
        return Some((name, None, rest));
    };
    let value = value.trim_ascii_start();
    let quote = value.chars().next()?;
    if matches!(quote, '"' | '\'') {
        let (value, rest) = value[1..].split_once(quote)?;
        return Some((name, Some(value), rest));
    }
    let len = value.find(|c: char| c.is_ascii_whitespace() || c == '>')?;
    Some((name, Some(&value[..len]), &value[len..]))
}

/// What follows the end of an element whose inside is no HTML.
fn after_element<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        let named = rest.get(..name.len());
        if named.is_some_and(|named| named.eq_ignore_ascii_case(name)) {
            return rest.find('>').map_or("", |end| &rest[end + 1..]);
        }
    }
    ""
}

/// Text with its character references resolved: numbers, and the names that listings use. What is none stays as it is.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, after)) => {
                plain.push(c);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn reference(text: &str) -> Option<(char, &str)> {
    let inner = text.strip_prefix('&')?;
    // The longest reference is `&#x10FFFF;`; zeros before it are nobody's way to write.
    let end = inner.bytes().take(12).position(|byte| byte == b';')?;
    let (name, after) = (&inner[..end], &inner[end + 1..]);
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    };
    Some((c, after))
}
