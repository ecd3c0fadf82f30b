//! JSON as manifests have it: read in one pass without building a tree, written in the canonical form.

mod reader;
mod writer;

pub(crate) use reader::{Reader, Text};
pub(crate) use writer::{write_string, write_value};
