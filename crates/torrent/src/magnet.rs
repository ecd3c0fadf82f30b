//! Magnet links (BEP 9), as far as they are of use here.
//!
//! They are read here and not by librqbit, which knows no `x.pe`, takes lists of files (`so`) of any length, and fails
//! badly on a hash in base 32 that is too short.

use forebay_source::InfoHash;
use url::{Host, Url};

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Magnet {
    pub(crate) hash: InfoHash,
    pub(crate) name: Option<String>,
    pub(crate) trackers: Vec<String>,
    /// `host:port`, the host not resolved yet; brackets around IPv6.
    pub(crate) peers: Vec<String>,
}

impl Magnet {
    /// Whether it claims to be one.
    pub(crate) fn is(text: &str) -> bool {
        text.get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("magnet:"))
    }

    /// # Errors
    /// What is wrong with it, without repeating it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("the link cannot be read ({error})"))?;
        let (mut hash, mut name, mut trackers, mut peers) = (None, None, Vec::new(), Vec::new());
        let mut second_version = false;
        for (key, value) in url.query_pairs() {
            // Several of a kind may be numbered: xt.1, tr.2.
            match key.split_once('.').map_or(&*key, |(kind, _)| kind) {
                "xt" => match value.strip_prefix("urn:btih:") {
                    Some(text) => {
                        let found = parse_hash(text).ok_or_else(|| {
                            format!("a hash is 40 hexadecimal digits or 32 of base 32, and not {text:?}")
                        })?;
                        if hash.replace(found).is_some_and(|before| before != found) {
                            return Err("the link names two torrents".to_owned());
                        }
                    }
                    None => second_version |= value.starts_with("urn:btmh:"),
                },
                "dn" if !value.is_empty() => name = Some(value.into_owned()),
                "tr" => trackers.push(value.into_owned()),
                "x" if key == "x.pe" => peers.push(parse_peer(&value)?),
                _ => {}
            }
        }
        let hash = hash.ok_or_else(|| {
            if second_version {
                "the link has only a hash of version 2 (btmh), which is not supported".to_owned()
            } else {
                "the link has no hash (xt=urn:btih:…)".to_owned()
            }
        })?;
        Ok(Self {
            hash,
            name,
            trackers,
            peers,
        })
    }

    /// What librqbit is to know of it.
    pub(crate) fn link(&self) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        if let Some(name) = &self.name {
            pairs.append_pair("dn", name);
        }
        for tracker in &self.trackers {
            pairs.append_pair("tr", tracker);
        }
        let pairs = pairs.finish();
        let and = if pairs.is_empty() { "" } else { "&" };
        format!("magnet:?xt=urn:btih:{}{and}{pairs}", self.hash)
    }
}

fn parse_peer(text: &str) -> Result<String, String> {
    let wrong = || format!("a peer is x.pe=HOST:PORT, and not {text:?}");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host = Host::parse(host).map_err(|_| wrong())?;
    if port == 0 {
        return Err(wrong());
    }
    Ok(format!("{host}:{port}"))
}

fn parse_hash(text: &str) -> Option<InfoHash> {
    if text.len() == 32 {
        base32(text).map(InfoHash)
    } else {
        text.parse().ok()
    }
}

/// 32 digits of RFC 4648, section 6.
fn base32(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let (mut bits, mut held, mut at) = (0_u32, 0, 0);
    for digit in text.bytes() {
        let value = match digit.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            number @ b'2'..=b'7' => number - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            *bytes.get_mut(at)? = u8::try_from(bits >> held & 0xff).ok()?;
            at += 1;
        }
    }
    (at == 20).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn links_are_read_and_written() {
        let link = format!(
            "magnet:?xt=urn:btih:{HASH}&dn=a+b%26c&tr=https%3A%2F%2Ft.example%2Fa%3Fkey%3D1&x.pe=127.0.0.1:80\
             &x.pe=[::1]:81&x.pe=peer.example:82&so=0-99999999999&tr.2=udp://u.example:1&xl=5"
        );
        let magnet = Magnet::parse(&link).unwrap();
        assert_eq!(magnet.hash.to_string(), HASH);
        assert_eq!(magnet.name.as_deref(), Some("a b&c"));
        assert_eq!(
            magnet.trackers,
            ["https://t.example/a?key=1", "udp://u.example:1"]
        );
        assert_eq!(magnet.peers, ["127.0.0.1:80", "[::1]:81", "peer.example:82"]);
        let again = Magnet::parse(&magnet.link()).unwrap();
        assert_eq!(
            again,
            Magnet {
                peers: Vec::new(),
                ..magnet
            }
        );
        assert!(!again.link().contains("so="));
        let short = format!("MAGNET:?xt=urn:btih:{}", HASH.to_ascii_uppercase());
        assert!(Magnet::is(&short));
        assert_eq!(
            Magnet::parse(&short).unwrap().link(),
            format!("magnet:?xt=urn:btih:{HASH}")
        );
    }

    #[test]
    fn hashes_may_be_of_base_32() {
        // RFC 4648, section 10, put together to twenty bytes.
        let hash = base32("MZXW6YTBMZXW6YTBMZXW6YTBMZXW6YTB").unwrap();
        assert_eq!(&hash, b"foobafoobafoobafooba");
        assert_eq!(base32("mzxw6ytbmzxw6ytbmzxw6ytbmzxw6ytb"), Some(hash));
        assert!(base32("MZXW6YTBMZXW6YTBMZXW6YTB========").is_none());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let other = HASH.replace('0', "f");
        for (link, said) in [
            ("magnet:?dn=x".to_owned(), "no hash"),
            ("magnet:?xt=urn:btmh:1220aa".to_owned(), "version 2"),
            ("magnet:?xt=urn:btih:abc".to_owned(), "40 hexadecimal"),
            (
                format!("magnet:?xt=urn:btih:{HASH}&xt.1=urn:btih:{other}"),
                "two torrents",
            ),
            (format!("magnet:?xt=urn:btih:{HASH}&x.pe=host"), "HOST:PORT"),
            (format!("magnet:?xt=urn:btih:{HASH}&x.pe=host:0"), "HOST:PORT"),
            (format!("magnet:?xt=urn:btih:{HASH}&x.pe=::1:80"), "HOST:PORT"),
            (format!("magnet:?xt=urn:btih:{HASH}&x.pe=a b:80"), "HOST:PORT"),
        ] {
            let error = Magnet::parse(&link).unwrap_err();
            assert!(error.contains(said), "{link}: {error}");
        }
    }
}
