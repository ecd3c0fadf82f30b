//! Who asks: HTTP's Basic authentication (RFC 7617).

use std::fmt;

use http::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

/// User and password, as the Authorization header that they become.
#[derive(Clone)]
pub(crate) struct Auth {
    header: HeaderValue,
    user: String,
}

impl Auth {
    /// Moves those of `url` out of it.
    pub(crate) fn take_from(url: &mut Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = decode(url.username());
        let password = decode(url.password().unwrap_or_default());
        // Cannot fail for a URL that has a host, and http URLs have one.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Self::new(user, &password)
    }

    /// Of `user:password`, taken as it stands; nothing of nothing.
    pub(crate) fn of_pair(pair: &str) -> Option<Self> {
        let (user, password) = pair.split_once(':').unwrap_or((pair, ""));
        if pair.is_empty() {
            return None;
        }
        Self::new(user.to_owned(), password)
    }

    fn new(user: String, password: &str) -> Option<Self> {
        let pair = format!("{user}:{password}");
        let mut header = HeaderValue::from_str(&format!("Basic {}", base64(pair.as_bytes()))).ok()?;
        header.set_sensitive(true);
        Some(Self { header, user })
    }

    /// The value of the header, marked as a secret.
    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Tells users apart without their passwords.
    pub(crate) fn scope(&self) -> String {
        self.user.clone()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= group.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        let mut url: Url = "https://al%40ice:s%3Acret@host/x".parse().unwrap();
        let auth = Auth::take_from(&mut url).unwrap();
        assert_eq!(url.as_str(), "https://host/x");
        assert_eq!(auth.header, format!("Basic {}", base64(b"al@ice:s:cret")));
        assert!(!format!("{:?} {auth:?}", auth.header).contains("Basic"));
        assert!(Auth::take_from(&mut url).is_none());
    }

    #[test]
    fn a_pair_is_taken_as_it_stands() {
        for (pair, sent, user) in [
            ("al%40:a:b", "al%40:a:b", "al%40"),
            ("alice", "alice:", "alice"),
            (":p", ":p", ""),
        ] {
            let auth = Auth::of_pair(pair).unwrap();
            assert_eq!(auth.header, format!("Basic {}", base64(sent.as_bytes())));
            assert_eq!(auth.scope(), user);
        }
        assert!(Auth::of_pair("").is_none());
    }
}
