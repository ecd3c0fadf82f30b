//! The lab server as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;

use forebay_testkit::{Content, Lab, Profile};
use serde::{Deserialize, Serialize};

use super::cases::{HANDLES, SMALL_OBJECT};
use super::worker::helper;
use crate::args::{BenchReadArgs, LabProfile};
use crate::exit::{CliError, Result};

/// Where the lab keeps things.
pub(crate) const BUCKET: &str = "lab";
/// The large object.
pub(crate) const BIG: &str = "big";

/// An object of exactly the size, for tools that cannot fetch a range.
pub(crate) const EXACT: &str = "exact";

/// One of the many.
pub(crate) fn small_key(index: usize) -> String {
    format!("small/{index:06}")
}

/// Objects that are read side by side.
pub(crate) const WIDE: &str = "wide";

/// Orders for the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LabSpec {
    standard: bool,
    big: u64,
    /// The same beginning, for tools that cannot fetch a part.
    exact: u64,
    small: usize,
}

/// A server that runs until this is dropped.
pub(crate) struct LabProcess {
    child: Child,
    endpoint: String,
}

impl LabProcess {
    pub(crate) fn start(args: &BenchReadArgs) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| {
            CliError::new(
                forebay_types::ErrorKind::LocalIo,
                format!("cannot start the lab server: {e}"),
            )
        };
        let spec = LabSpec {
            standard: args.profile == LabProfile::Standard,
            // The memory case reads ten times the size.
            big: args.size.bytes() * 10,
            exact: args.size.bytes(),
            small: args.objects,
        };
        let mut child = helper("serve", &spec)?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or_else(|| failed(&"it has no output"))?;
        let read = BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|e| failed(&e))?;
        if read == 0 {
            return Err(failed(&"it ended at once"));
        }
        Ok(Self {
            child,
            endpoint: line.trim().to_owned(),
        })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for LabProcess {
    fn drop(&mut self) {
        // The end of its input is its end; waiting leaves no zombie.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends.
pub(crate) fn serve(spec: &LabSpec) -> Result<()> {
    let profile = if spec.standard {
        Profile::STANDARD
    } else {
        Profile::LOOPBACK
    };
    let failed = |e: std::io::Error| CliError::new(e.kind().into(), format!("the lab server: {e}"));
    let lab = Lab::builder()
        .profile(profile)
        .bucket(BUCKET)
        .start()
        .map_err(failed)?;
    lab.objects().put(BUCKET, BIG, Content::pattern(1, spec.big));
    lab.objects().put(BUCKET, EXACT, Content::pattern(1, spec.exact));
    let wide = (spec.exact / HANDLES as u64).max(SMALL_OBJECT);
    for index in 0..HANDLES {
        let content = Content::pattern(index as u64, wide);
        lab.objects().put(BUCKET, &format!("{WIDE}/{index:02}"), content);
    }
    for index in 0..spec.small {
        lab.objects().put(
            BUCKET,
            &small_key(index),
            Content::pattern(index as u64, SMALL_OBJECT),
        );
    }
    crate::output::Output {
        json: false,
        quiet: false,
    }
    .line(&lab.endpoint())?;
    std::io::stdin().read_to_end(&mut Vec::new()).map_err(failed)?;
    Ok(())
}
