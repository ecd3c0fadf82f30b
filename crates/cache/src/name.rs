//! File names: which files belong to which object.

use std::fmt;

use forebay_types::Origin;
use twox_hash::XxHash3_128;

/// The hash of an object's origin and key: names its files. Not its identity: two objects with one hash are told apart
/// by the map's header, which has the names in full.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name(u128);

/// What a file in a shard is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The map of an object.
    Map(Name),
    /// The data of the instance with this number.
    Data(Name, u64),
    /// On its way in or out: nobody's, once its maker is gone.
    Temporary,
}

impl Name {
    pub(crate) fn of(origin: &Origin, key: &str) -> Self {
        let mut hasher = XxHash3_128::new();
        // Each part with its length first: "a-1" + "2" and "a" + "1-2" must differ.
        for part in [origin.url(), origin.scope(), key] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        Self(hasher.finish_128())
    }

    /// Which of the 256 directories.
    pub(crate) fn shard(self) -> u8 {
        (self.0 >> 120) as u8
    }

    pub(crate) fn map(self) -> String {
        format!("{:030x}", self.0 & (u128::MAX >> 8))
    }

    pub(crate) fn data(self, instance: u64) -> String {
        format!("{}.{instance:016x}", self.map())
    }

    /// For a map that is being made.
    pub(crate) fn incoming(self, instance: u64) -> String {
        format!("{}.{instance:016x}.new", self.map())
    }

    /// For a map that was taken out of its place, to be removed.
    pub(crate) fn outgoing(self, number: u64) -> String {
        format!("{}.{number:016x}.out", self.map())
    }

    /// What the file `name` in the directory `shard` is, if it is one of ours.
    pub(crate) fn parse(shard: u8, name: &str) -> Option<FileKind> {
        let mut parts = name.split('.');
        let low = hex(parts.next()?, 30)?;
        let name = Self(u128::from(shard) << 120 | low);
        let Some(instance) = parts.next() else {
            return Some(FileKind::Map(name));
        };
        let instance = u64::try_from(hex(instance, 16)?).ok()?;
        match (parts.next(), parts.next()) {
            (None, _) => Some(FileKind::Data(name, instance)),
            (Some("new" | "out"), None) => Some(FileKind::Temporary),
            _ => None,
        }
    }
}

/// The directory of a shard.
pub(crate) fn shard_dir(shard: u8) -> String {
    format!("{shard:02x}")
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let ours = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    ours.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}/{}", self.shard(), self.map())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parts_of_a_name_do_not_run_into_each_other() {
        let name = |url: &str, scope: &str, key: &str| Name::of(&Origin::new(url, scope), key);
        assert_ne!(name("s", "", "a-1"), name("s", "-1", "a"));
        assert_ne!(name("s", "a-1", "2"), name("s", "a", "1-2"));
        assert_ne!(name("s/a", "", "b"), name("s", "", "a/b"));
    }

    #[test]
    fn foreign_files_are_not_ours() {
        for name in [
            "",
            ".",
            "..",
            "README",
            "0123",
            "000000000000000000000000000000.x",
            "0000000000000000000000000000AB",
            "000000000000000000000000000000.0000000000000000.bak",
            "000000000000000000000000000000.0000000000000000.new.new",
        ] {
            assert_eq!(Name::parse(7, name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn names_are_found_again(key in ".*", instance in any::<u64>()) {
            let name = Name::of(&Origin::new("s3://bucket", "me"), &key);
            prop_assert_eq!(Name::parse(name.shard(), &name.map()), Some(FileKind::Map(name)));
            prop_assert_eq!(Name::parse(name.shard(), &name.data(instance)), Some(FileKind::Data(name, instance)));
            prop_assert_eq!(Name::parse(name.shard(), &name.incoming(instance)), Some(FileKind::Temporary));
            prop_assert_eq!(Name::parse(name.shard(), &name.outgoing(instance)), Some(FileKind::Temporary));
        }
    }
}
