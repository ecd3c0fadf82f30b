//! Keys of objects, and the URLs where a web server has them.

use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

/// The URL that was typed, and the keys that it gives: a key is a path from the server's root, percent-decoded once. So
/// a file is the same object whether its own URL is typed or that of a directory above it.
#[derive(Clone)]
pub(super) struct Address {
    /// Never with user info or fragment.
    base: Url,
    /// The key of `base`.
    root: Path,
    /// Whether `root` tells `base` from every other path of the server.
    exact: bool,
}

impl Address {
    pub(super) fn new(mut base: Url) -> Self {
        base.set_fragment(None);
        let decoded = decoded(base.path());
        Self {
            exact: decoded.is_some(),
            // What no key can say (`//`, `%2F`, other encodings than UTF-8) is its own name, as it was typed.
            root: decoded.unwrap_or_else(|| Path::from(base.path())),
            base,
        }
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The key of the URL itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What tells the URL from others with the same keys, if anything does.
    pub(super) fn inexact(&self) -> Option<&str> {
        (!self.exact).then(|| self.base.path())
    }

    /// Where the object of a key is: the URL itself, or below it. What ends in a slash is a directory, as it is.
    pub(super) fn of(&self, key: &Path) -> Option<Url> {
        if *key == self.root {
            return Some(self.base.clone());
        }
        // A query may be a signature, which is for this URL alone.
        if self.base.query().is_some() {
            return None;
        }
        let key = key.as_ref();
        let below = match self.root.as_ref() {
            "" => key,
            root => key.strip_prefix(root)?.strip_prefix('/')?,
        };
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().ok()?;
        segments.pop_if_empty();
        for name in below.split('/') {
            // They would be taken as what they mean to URLs.
            if matches!(name, "." | "..") {
                return None;
            }
            segments.push(name);
        }
        drop(segments);
        Some(url)
    }

    /// Where the listing of a directory is.
    pub(super) fn of_directory(&self, key: &Path) -> Option<Url> {
        let mut url = self.of(key).filter(|url| url.query().is_none())?;
        if !url.path().ends_with('/') {
            url.path_segments_mut().ok()?.push("");
        }
        Some(url)
    }
}

/// The key that a URL's path spells, if keys can say it.
fn decoded(path: &str) -> Option<Path> {
    let bare = path.strip_prefix('/').unwrap_or(path);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let mut key = String::with_capacity(bare.len());
    for (n, segment) in bare.split('/').enumerate() {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        if name.contains('/') {
            return None;
        }
        if n > 0 {
            key.push('/');
        }
        key.push_str(&name);
    }
    let parsed = Path::parse(&key).ok()?;
    (parsed.as_ref() == key).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::new(url.parse().unwrap())
    }

    fn at(address: &Address, key: &str) -> Option<String> {
        let key = Path::parse(key).unwrap();
        address.of(&key).map(|url| url.path().to_owned())
    }

    #[test]
    fn a_file_has_one_key_by_whichever_url() {
        for (url, key) in [
            ("http://h/", ""),
            ("http://h", ""),
            ("http://h/a%20dir/", "a dir"),
            ("http://h/a%20dir", "a dir"),
            ("http://h/a%20dir/b%25c", "a dir/b%c"),
            ("http://h/caf%C3%A9/%61", "caf\u{e9}/a"),
        ] {
            let address = address(url);
            assert_eq!(address.root().as_ref(), key, "{url}");
            assert_eq!(address.inexact(), None, "{url}");
        }
        let directory = address("http://h/a%20dir/");
        assert_eq!(at(&directory, "a dir/b%c").unwrap(), "/a%20dir/b%25c");
        assert_eq!(at(&directory, "a dir").unwrap(), "/a%20dir/");
        assert_eq!(at(&directory, "a dirx/y"), None);
        assert_eq!(at(&directory, "other/y"), None);
    }

    #[test]
    fn what_no_key_can_say_is_told_apart() {
        for url in ["http://h/a//b", "http://h/a%2Fb", "http://h/%FF", "http://h/x%0A"] {
            let address = address(url);
            assert!(address.inexact().is_some(), "{url}");
            let root = address.root().clone();
            assert_eq!(address.of(&root).unwrap().as_str(), url);
        }
    }

    #[test]
    fn names_are_encoded_once_and_lead_nowhere_else() {
        let root = address("http://h/");
        for (key, path) in [
            ("a", "/a"),
            ("dir/with space", "/dir/with%20space"),
            ("what?#", "/what%3F%23"),
            ("100%", "/100%25"),
            ("%2e%2e", "/%252e%252e"),
            ("a\\b", "/a%5Cb"),
        ] {
            assert_eq!(at(&root, key).as_deref(), Some(path), "{key}");
        }
        let marker = Path::parse("a b").unwrap().join("");
        assert_eq!(root.of(&marker).unwrap().path(), "/a%20b/");
        let directory = Path::parse("a").unwrap();
        assert_eq!(root.of_directory(&directory).unwrap().path(), "/a/");
        assert_eq!(root.of_directory(&Path::ROOT).unwrap().path(), "/");
    }

    #[test]
    fn a_signature_is_for_one_url() {
        let signed = address("http://h/a/?sig=1");
        assert_eq!(signed.of(signed.root()).unwrap().as_str(), "http://h/a/?sig=1");
        assert_eq!(at(&signed, "a/b"), None);
        assert!(signed.of_directory(signed.root()).is_none());
    }
}
