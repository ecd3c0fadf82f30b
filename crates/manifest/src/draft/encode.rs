//! Writing the draft.

use std::collections::HashMap;

use super::{MEANINGS, SPECIFICATIONS};
use crate::entry::{Content, FileEntry, FileKind};
use crate::json::{write_string, write_value};
use crate::manifest::{ChunkSize, Manifest};
use crate::path::ManifestPath;

pub(crate) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut writer = Writer {
        out: Vec::with_capacity(manifest.files().len() * 150 + 1000),
        numbers: HashMap::new(),
    };
    writer.put(r#"{"dirs":["#);
    for (number, dir) in manifest.dirs().enumerate() {
        writer.put(if number == 0 { "{" } else { ",{" });
        if dir.deleted {
            writer.put(r#""delete":true,"#);
        }
        writer.name(dir.path);
        writer.put("}");
        writer.numbers.insert(dir.path, number);
    }
    writer.put("]");
    match manifest.head.chunk_size {
        ChunkSize::Unwritten => {}
        ChunkSize::Never => writer.put(r#","fileChunkSizeBytes":-1"#),
        ChunkSize::Bytes(bytes) => {
            writer.put(r#","fileChunkSizeBytes":"#);
            write_value(&mut writer.out, bytes);
        }
    }
    writer.put(r#","files":["#);
    for (number, file) in manifest.files().enumerate() {
        writer.put(if number == 0 { "{" } else { ",{" });
        writer.file(&file);
        writer.put("}");
    }
    writer.put(r#"],"hashAlg":"xxh128","#);
    if let Some(parent) = &manifest.head.parent {
        writer.put(r#""parentManifestHash":""#);
        parent.write(&mut writer.out);
        writer.put(r#"","#);
    }
    writer.put(r#""specificationVersion":""#);
    let meaning = (manifest.head.base, manifest.head.kind);
    for (specification, _) in SPECIFICATIONS
        .iter()
        .zip(MEANINGS)
        .filter(|(_, other)| *other == meaning)
    {
        writer.put(specification);
    }
    writer.put(r#"","totalSize":"#);
    write_value(&mut writer.out, manifest.total_size);
    writer.put("}");
    writer.out
}

struct Writer<'a> {
    out: Vec<u8>,
    /// Where each directory stands.
    numbers: HashMap<ManifestPath<'a>, usize>,
}

impl Writer<'_> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn file(&mut self, file: &FileEntry<'_>) {
        match &file.kind {
            FileKind::Deleted => {
                self.put(r#""delete":true,"#);
                self.name(file.path);
            }
            FileKind::Symlink { target } => {
                self.name(file.path);
                self.put(r#","symlink":{"#);
                self.name(*target);
                self.put("}");
            }
            FileKind::Regular {
                size,
                mtime,
                runnable,
                content,
            } => {
                match content {
                    Content::Hash(hash) => {
                        self.put(r#""hash":""#);
                        hash.write(&mut self.out);
                        self.put(r#"","#);
                    }
                    Content::Chunks(hashes) => {
                        for (number, hash) in hashes.iter().enumerate() {
                            self.put(if number == 0 {
                                r#""chunkhashes":[""#
                            } else {
                                r#",""#
                            });
                            hash.write(&mut self.out);
                            self.put("\"");
                        }
                        self.put("],");
                    }
                    Content::Unhashed => {}
                }
                self.put(r#""mtime":"#);
                write_value(&mut self.out, mtime);
                self.put(",");
                self.name(file.path);
                if *runnable {
                    self.put(r#","runnable":true"#);
                }
                self.put(r#","size":"#);
                write_value(&mut self.out, size);
            }
        }
    }

    /// `"name":"$N/component"`.
    fn name(&mut self, path: ManifestPath<'_>) {
        self.put(r#""name":"#);
        // Every directory that something lies in stands in the manifest: `check::finish` sees to that.
        let Some(number) = path.parent().and_then(|parent| self.numbers.get(&parent)) else {
            return write_string(&mut self.out, path.as_bytes());
        };
        let mut name = format!("${number}/").into_bytes();
        name.extend_from_slice(path.file_name());
        write_string(&mut self.out, &name);
    }
}
