//! Writes what torrent files are written in (BEP 3).

/// A value. Keys of a dictionary are in the order of their bytes: whoever makes one sees to that.
pub(crate) enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
    List(Vec<Self>),
    Dictionary(Vec<(&'static str, Self)>),
    /// Encoded already.
    Raw(&'a [u8]),
}

impl Value<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => out.extend(format!("i{number}e").bytes()),
            Self::Bytes(bytes) => {
                out.extend(format!("{}:", bytes.len()).bytes());
                out.extend_from_slice(bytes);
            }
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dictionary(pairs) => {
                debug_assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "keys are sorted");
                out.push(b'd');
                for (key, value) in pairs {
                    Value::Bytes(key.as_bytes()).write(out);
                    value.write(out);
                }
                out.push(b'e');
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_bep_3_says() {
        let inner = Value::Integer(0).encode();
        let value = Value::Dictionary(vec![
            (
                "list",
                Value::List(vec![Value::Bytes(b"sp\xffm"), Value::Bytes(b"")]),
            ),
            ("number", Value::Integer(42)),
            ("raw", Value::Raw(&inner)),
        ]);
        assert_eq!(value.encode(), b"d4:listl4:sp\xffm0:e6:numberi42e3:rawi0ee");
    }
}
