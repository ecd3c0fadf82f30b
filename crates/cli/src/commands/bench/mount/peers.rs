//! Other mounts of the same bucket.

use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use super::super::daemon::Daemon;
use super::super::peers::{is_installed, lab_env};
use super::super::report::Row;
use super::super::server::{BIG, BUCKET, EXACT};
use super::plan::{Case, Setting};
use super::side::{Field, Side, perform};
use super::terms;
use crate::exit::{CliError, Result};

/// One of them.
#[derive(Clone, Copy, Debug)]
enum Peer {
    S3fs,
    Rclone,
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::S3fs => "s3fs",
            Self::Rclone => "rclone",
        }
    }

    /// As its manual says for a server of one's own; whatever it keeps is in the directory `scratch`.
    fn mount(self, field: &Field<'_>) -> Result<(Daemon, tempfile::TempDir)> {
        let (dir, scratch) = (field.scratch()?, field.scratch()?);
        let endpoint = field.lab.endpoint();
        let mut command = Command::new(self.name());
        lab_env(&mut command, endpoint);
        match self {
            Self::S3fs => {
                let secret = scratch.path().join("secret");
                let mut options = std::fs::File::options();
                let made = options.write(true).create_new(true).mode(0o600).open(&secret);
                made.and_then(|mut file| std::io::Write::write_all(&mut file, b"lab:lab"))
                    .map_err(|e| CliError::local(&secret, "write", &e))?;
                let options = format!(
                    "url={endpoint},use_path_request_style,passwd_file={}",
                    secret.display()
                );
                command.arg(BUCKET).arg(dir.path()).args(["-f", "-o", &options]);
            }
            Self::Rclone => {
                let remote = format!(
                    ":s3,provider=Other,force_path_style=true,env_auth=true,endpoint=\"{endpoint}\":{BUCKET}"
                );
                command.arg("mount").arg(remote).arg(dir.path());
                command.arg("--cache-dir").arg(scratch.path()).arg("--read-only");
            }
        }
        command.stderr(std::process::Stdio::null());
        Ok((Daemon::start(self.name(), dir, &mut command)?, scratch))
    }
}

/// The cold cases, and the listing, beside each that is installed.
pub(super) async fn rows(field: &Field<'_>, cases: &[Case], runs: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for peer in [Peer::S3fs, Peer::Rclone] {
        if !is_installed(peer.name()) {
            tracing::warn!("{} is not installed: its rows are missing", peer.name());
            continue;
        }
        for case in cases.iter().filter(|case| case.setting == Setting::Cold) {
            let mut ours = Side::ours();
            let (mut us, mut them) = (Vec::new(), Vec::new());
            for _ in 0..runs {
                us.push(ours.sample(field, case).await?);
                let (daemon, _scratch) = peer.mount(field)?;
                them.push(perform(field, case, &daemon, EXACT, BIG).await?);
            }
            let mut terms = terms(case);
            terms.baseline = super::Baseline::Run(peer.name());
            terms.goal = Some(1.0);
            rows.push(Row::compare(&terms, &us, &them));
        }
    }
    Ok(rows)
}
