//! What is looked at in a torrent file before librqbit reads it.

/// Lists within lists within a torrent file. It needs five; librqbit's reader goes down the stack once for each.
const DEEPEST: usize = 64;

/// Whether the nesting of lists and dictionaries (BEP 3) is one that a reader can follow. That all is well otherwise is
/// not said.
///
/// # Errors
/// What is wrong.
pub(crate) fn check_depth(mut bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "it is not in the format of torrent files";
    let mut depth: usize = 0;
    loop {
        match bytes {
            [b'd' | b'l', rest @ ..] => {
                depth += 1;
                if depth > DEEPEST {
                    return Err("it has lists in lists in lists without an end");
                }
                bytes = rest;
            }
            [b'e', rest @ ..] => {
                depth = depth.checked_sub(1).ok_or(CUT)?;
                bytes = rest;
            }
            [b'i', ..] => {
                let end = bytes.iter().position(|byte| *byte == b'e').ok_or(CUT)?;
                bytes = &bytes[end + 1..];
            }
            [b'0'..=b'9', ..] => {
                let colon = bytes.iter().position(|byte| *byte == b':').ok_or(CUT)?;
                let length = std::str::from_utf8(&bytes[..colon]).ok();
                let length: usize = length.and_then(|text| text.parse().ok()).ok_or(CUT)?;
                bytes = bytes[colon + 1..].get(length..).ok_or(CUT)?;
            }
            _ => return Err(CUT),
        }
        if depth == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| format!("d1:a{}{}e", "l".repeat(depth), "e".repeat(depth));
        assert_eq!(check_depth(nested(60).as_bytes()), Ok(()));
        assert!(check_depth(nested(64).as_bytes()).unwrap_err().contains("lists"));
        assert_eq!(check_depth(b"d3:keyi-5e4:list4:lllle"), Ok(()));
        for cut in ["", "e", "d", "d3:ke", "d99999999999999999999:", "di5", "hello", "3"] {
            assert!(check_depth(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
