//! Changes as bytes.
//!
//! Numbers are LEB128, signed ones in zigzag; text and bytes stand behind their length. A change begins with its tag.

use super::{Change, NewBody, Slot};
use crate::overlay::attrs::{Attrs, Data, DataStamp, NodeId, Origin, SpecialKind};

/// The bytes of a payload make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPayload;

/// Appends the bytes of `change`.
pub(crate) fn encode(change: &Change, out: &mut Vec<u8>) {
    match change {
        Change::Node {
            id,
            attrs,
            changed,
            body,
        } => {
            out.push(1);
            put(out, id.0);
            put_attrs(out, attrs);
            out.push(u8::from(*changed));
            put_body(out, body);
        }
        Change::Entry { dir, name, slot } => {
            out.push(2);
            put(out, dir.0);
            put_bytes(out, name);
            // No node has the number 0 or 1 in a directory: 1 is the root.
            put(
                out,
                match slot {
                    None => 0,
                    Some(Slot::Whiteout) => 1,
                    Some(Slot::Node(id)) => id.0,
                },
            );
        }
        Change::Attrs { id, attrs } => {
            out.push(3);
            put(out, id.0);
            put_attrs(out, attrs);
        }
        Change::Touch { id, at } => {
            out.push(4);
            put(out, id.0);
            put_signed(out, *at);
        }
        Change::Ctime { id, at } => {
            out.push(5);
            put(out, id.0);
            put_signed(out, *at);
        }
        Change::Changed { id, hidden } => {
            out.push(6);
            put(out, id.0);
            put(out, u64::from(*hidden));
        }
        Change::Xattr { id, name, value } => {
            out.push(7);
            put(out, id.0);
            put_bytes(out, name);
            put_option(out, value.as_deref());
        }
        Change::Data { id, data } => {
            out.push(8);
            put(out, id.0);
            put_data(out, *data);
        }
        Change::Next { id } => {
            out.push(9);
            put(out, id.0);
        }
        Change::Marker { covers, durable } => {
            out.push(10);
            put(out, *covers);
            put(out, *durable);
        }
        Change::Gone { path, version } => {
            out.push(11);
            put_bytes(out, path.as_bytes());
            put_option(out, version.as_deref().map(str::as_bytes));
        }
        Change::Put { id, origin, stamp } => {
            out.push(12);
            put(out, id.0);
            put_origin(out, origin);
            match stamp {
                None => out.push(0),
                Some(stamp) => {
                    out.push(1);
                    put(out, stamp.size);
                    put_signed(out, stamp.mtime);
                    put_signed(out, stamp.ctime);
                }
            }
        }
        Change::Also { id, path, version } => {
            out.push(13);
            put(out, id.0);
            put_bytes(out, path.as_bytes());
            put_bytes(out, version.as_bytes());
        }
        Change::Settled { id, path } => {
            out.push(14);
            put(out, id.0);
            put_option(out, path.as_deref().map(str::as_bytes));
        }
        Change::Over { id, origin } => {
            out.push(15);
            put(out, id.0);
            put_bytes(out, origin.as_bytes());
        }
        Change::Sent { path, what } => {
            out.push(16);
            put_bytes(out, path.as_bytes());
            put_option(out, what.as_deref().map(str::as_bytes));
        }
        Change::Alone { id } => {
            out.push(17);
            put(out, id.0);
        }
    }
}

/// All changes of a payload.
pub(crate) fn decode(payload: &[u8]) -> Result<Vec<Change>, BadPayload> {
    let mut take = Take(payload);
    let mut changes = Vec::new();
    while !take.0.is_empty() {
        changes.push(take.change()?);
    }
    Ok(changes)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            out.push(1);
            put_bytes(out, bytes);
        }
    }
}

fn put_attrs(out: &mut Vec<u8>, attrs: &Attrs) {
    for value in [attrs.mode, attrs.uid, attrs.gid] {
        put(out, u64::from(value));
    }
    for time in [attrs.atime, attrs.mtime, attrs.ctime] {
        put_signed(out, time);
    }
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    put_bytes(out, origin.path.as_bytes());
    put_bytes(out, origin.version.as_bytes());
    put(out, origin.size);
    put_signed(out, origin.mtime);
}

fn put_data(out: &mut Vec<u8>, data: Data) {
    match data {
        Data::Lower => out.push(0),
        Data::Mapped { limit } => {
            out.push(1);
            put(out, limit);
        }
        Data::Whole => out.push(2),
    }
}

fn put_body(out: &mut Vec<u8>, body: &NewBody) {
    match body {
        NewBody::Dir { origin } => {
            out.push(0);
            put_option(out, origin.as_deref().map(str::as_bytes));
        }
        NewBody::File { origin, data, hidden } => {
            out.push(1);
            match origin {
                None => out.push(0),
                Some(origin) => {
                    out.push(1);
                    put_origin(out, origin);
                }
            }
            put_data(out, *data);
            put(out, u64::from(*hidden));
        }
        NewBody::Symlink { target } => {
            out.push(2);
            put_bytes(out, target);
        }
        NewBody::Special { kind, rdev } => {
            out.push(match kind {
                SpecialKind::Fifo => 3,
                SpecialKind::Socket => 4,
                SpecialKind::Char => 5,
                SpecialKind::Block => 6,
            });
            put(out, *rdev);
        }
    }
}

/// What is left of a payload.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn byte(&mut self) -> Result<u8, BadPayload> {
        let (&first, rest) = self.0.split_first().ok_or(BadPayload)?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self) -> Result<u64, BadPayload> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                return Err(BadPayload);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(BadPayload)
    }

    fn small(&mut self) -> Result<u32, BadPayload> {
        self.number()?.try_into().map_err(|_| BadPayload)
    }

    fn signed(&mut self) -> Result<i64, BadPayload> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn bytes(&mut self) -> Result<&'a [u8], BadPayload> {
        let len = usize::try_from(self.number()?).map_err(|_| BadPayload)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(BadPayload)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<Box<str>, BadPayload> {
        str::from_utf8(self.bytes()?)
            .map(Into::into)
            .map_err(|_| BadPayload)
    }

    fn flag(&mut self) -> Result<bool, BadPayload> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(BadPayload),
        }
    }

    fn id(&mut self) -> Result<NodeId, BadPayload> {
        match self.number()? {
            0 => Err(BadPayload),
            id => Ok(NodeId(id)),
        }
    }

    fn attrs(&mut self) -> Result<Attrs, BadPayload> {
        Ok(Attrs {
            mode: self.small()?,
            uid: self.small()?,
            gid: self.small()?,
            atime: self.signed()?,
            mtime: self.signed()?,
            ctime: self.signed()?,
        })
    }

    fn data(&mut self) -> Result<Data, BadPayload> {
        match self.byte()? {
            0 => Ok(Data::Lower),
            1 => Ok(Data::Mapped {
                limit: self.number()?,
            }),
            2 => Ok(Data::Whole),
            _ => Err(BadPayload),
        }
    }

    fn optional_text(&mut self) -> Result<Option<Box<str>>, BadPayload> {
        Ok(if self.flag()? { Some(self.text()?) } else { None })
    }

    fn origin(&mut self) -> Result<Origin, BadPayload> {
        Ok(Origin {
            path: self.text()?,
            version: self.text()?,
            size: self.number()?,
            mtime: self.signed()?,
        })
    }

    fn stamp(&mut self) -> Result<Option<DataStamp>, BadPayload> {
        if !self.flag()? {
            return Ok(None);
        }
        Ok(Some(DataStamp {
            size: self.number()?,
            mtime: self.signed()?,
            ctime: self.signed()?,
        }))
    }

    fn body(&mut self) -> Result<NewBody, BadPayload> {
        let special = |kind, rdev| NewBody::Special { kind, rdev };
        Ok(match self.byte()? {
            0 => NewBody::Dir {
                origin: self.optional_text()?,
            },
            1 => NewBody::File {
                origin: if self.flag()? { Some(self.origin()?) } else { None },
                data: self.data()?,
                hidden: self.small()?,
            },
            2 => NewBody::Symlink {
                target: self.bytes()?.into(),
            },
            3 => special(SpecialKind::Fifo, self.number()?),
            4 => special(SpecialKind::Socket, self.number()?),
            5 => special(SpecialKind::Char, self.number()?),
            6 => special(SpecialKind::Block, self.number()?),
            _ => return Err(BadPayload),
        })
    }

    fn change(&mut self) -> Result<Change, BadPayload> {
        Ok(match self.byte()? {
            1 => Change::Node {
                id: self.id()?,
                attrs: self.attrs()?,
                changed: self.flag()?,
                body: self.body()?,
            },
            2 => Change::Entry {
                dir: self.id()?,
                name: self.bytes()?.into(),
                slot: match self.number()? {
                    0 => None,
                    1 => Some(Slot::Whiteout),
                    id => Some(Slot::Node(NodeId(id))),
                },
            },
            3 => Change::Attrs {
                id: self.id()?,
                attrs: self.attrs()?,
            },
            4 => Change::Touch {
                id: self.id()?,
                at: self.signed()?,
            },
            5 => Change::Ctime {
                id: self.id()?,
                at: self.signed()?,
            },
            6 => Change::Changed {
                id: self.id()?,
                hidden: self.small()?,
            },
            7 => Change::Xattr {
                id: self.id()?,
                name: self.bytes()?.into(),
                value: if self.flag()? {
                    Some(self.bytes()?.into())
                } else {
                    None
                },
            },
            8 => Change::Data {
                id: self.id()?,
                data: self.data()?,
            },
            9 => Change::Next { id: self.id()? },
            10 => Change::Marker {
                covers: self.number()?,
                durable: self.number()?,
            },
            11 => Change::Gone {
                path: self.text()?,
                version: self.optional_text()?,
            },
            12 => Change::Put {
                id: self.id()?,
                origin: self.origin()?,
                stamp: self.stamp()?,
            },
            13 => Change::Also {
                id: self.id()?,
                path: self.text()?,
                version: self.text()?,
            },
            14 => Change::Settled {
                id: self.id()?,
                path: self.optional_text()?,
            },
            15 => Change::Over {
                id: self.id()?,
                origin: self.text()?,
            },
            16 => Change::Sent {
                path: self.text()?,
                what: self.optional_text()?,
            },
            17 => Change::Alone { id: self.id()? },
            _ => return Err(BadPayload),
        })
    }
}
