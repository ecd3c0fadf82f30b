//! Files read past the page cache, with the real kernel.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should end here")]

mod ranges;
