//! Where links lead, as manifests say it: from the root on.

use std::collections::HashMap;

use forebay_manifest::{FileKind, Manifest};

use crate::commit::error::{CommitError, shown};
use crate::commit::manifest::plan::{Kept, Plan};
use crate::manifest::seen_from;

/// So many links may lead to each other: as many as Linux follows.
const MAX_HOPS: usize = 40;

/// All links of the new tree.
#[derive(Debug)]
pub(super) struct Links<'a> {
    said: HashMap<Box<[u8]>, Said<'a>>,
    /// What an absolute target that leads into the tree begins with.
    mountpoint: Option<&'a [u8]>,
}

/// What a link says.
#[derive(Clone, Debug)]
enum Said<'a> {
    /// A path from the root on.
    FromRoot(&'a [u8]),
    /// What `readlink` answers.
    Text(Box<[u8]>),
}

impl<'a> Links<'a> {
    /// Of the base, as far as they stay, and of those that were made here.
    pub(super) fn new(plan: &'a Plan, base: &'a Manifest, mountpoint: Option<&'a [u8]>) -> Self {
        let mut said = HashMap::new();
        for kept in plan.kept(base) {
            if let Some(text) = text_of(&kept) {
                said.insert(kept.path.into(), text);
            }
        }
        for link in &plan.links {
            said.insert(link.path.clone(), Said::Text(link.target.clone()));
        }
        Self { said, mountpoint }
    }

    /// Paths of all links and what they lead to.
    ///
    /// # Errors
    /// A link that leads out of the tree.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<(&[u8], Vec<u8>), CommitError>> {
        self.said.iter().map(|(path, said)| match said {
            Said::FromRoot(target) => Ok((&**path, target.to_vec())),
            Said::Text(text) => self.resolve(path, text).map(|target| (&**path, target)),
        })
    }

    /// What the text of the link `path` leads to, from the root on. Links on the way there are followed, which `..` after
    /// them would mean something else without; the last name stays as it is, be it a link or nothing.
    fn resolve(&self, path: &[u8], text: &[u8]) -> Result<Vec<u8>, CommitError> {
        let fail = |why| CommitError::Link {
            path: shown(path),
            target: shown(text),
            why,
        };
        const LEAVES: &str = "leads out of the tree";
        let mut at: Vec<&[u8]> = names(path).collect();
        at.pop();
        let mut todo: Vec<&[u8]> = Vec::new();
        let mut text = text;
        let mut hops = 0;
        loop {
            if text.starts_with(b"/") {
                text = self.below_mountpoint(text).ok_or_else(|| fail(LEAVES))?;
                at.clear();
            }
            todo.extend(names(text).rev());
            text = loop {
                let Some(name) = todo.pop() else {
                    let target = at.join(&b'/');
                    return Ok(if target.is_empty() { b".".to_vec() } else { target });
                };
                if name == b".." {
                    at.pop().ok_or_else(|| fail(LEAVES))?;
                    continue;
                }
                at.push(name);
                let followed = match todo.is_empty() {
                    true => None,
                    false => self.said.get(at.join(&b'/').as_slice()),
                };
                match followed {
                    None => continue,
                    Some(Said::FromRoot(target)) => {
                        at.clear();
                        break *target;
                    }
                    Some(Said::Text(text)) => {
                        at.pop();
                        break &**text;
                    }
                }
            };
            hops += 1;
            if hops > MAX_HOPS {
                return Err(fail("leads through links that lead to each other"));
            }
        }
    }

    fn below_mountpoint<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let mut mountpoint = self.mountpoint?;
        while let Some(shorter) = mountpoint.strip_suffix(b"/") {
            mountpoint = shorter;
        }
        let rest = text.strip_prefix(mountpoint)?;
        (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
    }
}

/// The names of a path, without those that stand for the directory itself.
fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
}

/// What a link of the base says in the new tree: where it was moved along with its directory, what was seen in the old
/// place.
fn text_of<'a>(kept: &Kept<'a>) -> Option<Said<'a>> {
    let FileKind::Symlink { target } = kept.file.kind else {
        return None;
    };
    Some(if *kept.path == *kept.file.path.as_bytes() {
        Said::FromRoot(target.as_bytes())
    } else {
        Said::Text(seen_from(kept.file.path, target).into())
    })
}

#[cfg(test)]
mod tests;
