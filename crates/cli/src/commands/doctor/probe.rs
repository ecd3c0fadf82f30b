//! Things that are tried.

use std::fs::File;
use std::process::Command;

use forebay_types::printable;

use super::{Finding, Status};
use crate::session::Session;

pub(super) fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let detail = format!(
        "{} {} {}",
        text(uname.sysname()),
        text(uname.release()),
        text(uname.machine())
    );
    Finding::new("kernel", Status::Info, detail)
}

pub(super) fn fuse() -> Finding {
    let name = "FUSE";
    match File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Finding::new(name, Status::Yes, "/dev/fuse can be opened"),
        Err(error) => Finding::new(name, Status::No, format!("/dev/fuse cannot be opened: {error}")),
    }
}

/// Who may not mount is helped by a program that may.
pub(super) fn fuse_helper() -> Finding {
    let name = "FUSE without root";
    match Command::new("fusermount3").arg("-V").output() {
        Ok(said) if said.status.success() => {
            let said = String::from_utf8_lossy(&said.stdout);
            Finding::new(name, Status::Yes, printable(said.trim()).into_owned())
        }
        Ok(said) => Finding::new(
            name,
            Status::No,
            format!("fusermount3 does not run: {}", said.status),
        ),
        Err(error) => {
            let detail = format!("fusermount3 (package fuse3) cannot be started: {error}");
            Finding::new(name, Status::No, detail)
        }
    }
}

/// The kernel hands out backing ids only on a mounted file system, so this can only be looked up.
pub(super) fn passthrough() -> Finding {
    let name = "FUSE passthrough";
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(version) = version(&release) else {
        return Finding::new(
            name,
            Status::Unknown,
            format!("the kernel's release '{release}' has no number"),
        );
    };
    if version < (6, 9) {
        return Finding::new(name, Status::No, format!("needs Linux 6.9; this is {release}"));
    }
    match has_sys_admin() {
        Some(true) => Finding::new(
            name,
            Status::Yes,
            "Linux 6.9 or newer and CAP_SYS_ADMIN; proved at mount",
        ),
        Some(false) => Finding::new(
            name,
            Status::No,
            "needs CAP_SYS_ADMIN, which this process has not",
        ),
        None => Finding::new(
            name,
            Status::Unknown,
            "the capabilities of this process cannot be read",
        ),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn has_sys_admin() -> Option<bool> {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(effective & (1 << CAP_SYS_ADMIN) != 0)
}

/// The certificates that https will trust, read as the transport does.
pub(super) fn trust_store(session: &Session) -> Finding {
    let name = "trusted certificates";
    let native = rustls_native_certs::load_native_certs();
    let more = match session.settings.source_options().transport.extra_roots {
        Some(path) => format!(", and those in {}", path.to_string_lossy()),
        None => String::new(),
    };
    match native.certs.len() {
        0 if more.is_empty() => Finding::new(
            name,
            Status::No,
            "none; install ca-certificates, or set http.ca_file",
        ),
        count => Finding::new(name, Status::Yes, format!("{count} of the system's{more}")),
    }
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn releases_have_two_numbers() {
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("6.9-rc1"), Some((6, 9)));
        assert_eq!(version("unknown"), None);
    }
}
