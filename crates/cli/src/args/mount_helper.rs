//! `mount.forebay`: how mount(8) and /etc/fstab call this program. Pure.
//!
//! mount(8) starts `/sbin/mount.TYPE SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`; a link of that name to
//! this program is enough.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name that mount(8) looks for.
const NAME: &str = "mount.forebay";

/// Options that say nothing to us: they are mount(8)'s own, or what is so in any case.
const NOTHING: [&str; 16] = [
    "ro", "defaults", "auto", "noauto", "nofail", "_netdev", "nosuid", "nodev", "exec", "noexec", "atime",
    "noatime", "relatime", "user", "users", "nouser",
];

/// Options of ours that are options of the command line with a value.
const WITH_VALUE: [(&str, &str); 3] = [
    ("config", "--config"),
    ("cache_dir", "--cache-dir"),
    ("cache_size", "--cache-size"),
];

/// The words that were typed, as if `forebay mount` had been.
///
/// # Errors
/// What cannot be understood.
pub(super) fn words(typed: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let is_helper = typed.first().and_then(|name| Path::new(name).file_name()) == Some(OsStr::new(NAME));
    if !is_helper {
        return Ok(typed);
    }
    let mut words: Vec<OsString> = ["forebay", "mount"].map(OsString::from).into();
    let mut typed = typed.into_iter().skip(1);
    while let Some(word) = typed.next() {
        match word.to_str() {
            Some("-o") => {
                let options = typed.next().ok_or("-o wants options")?;
                let options = options.to_str().ok_or("the options are not UTF-8")?;
                for option in options.split(',').filter(|option| !option.is_empty()) {
                    words.extend(translated(option)?);
                }
            }
            Some("-N" | "-t") => {
                typed.next();
            }
            // Sloppy, fake, no mtab, verbose, in any mix.
            Some(flags)
                if flags.len() > 1
                    && flags.starts_with('-')
                    && flags[1..].chars().all(|c| "sfnv".contains(c)) => {}
            _ => words.push(word),
        }
    }
    Ok(words)
}

fn translated(option: &str) -> Result<Vec<OsString>, String> {
    if NOTHING.contains(&option) || option.starts_with("x-") || option.starts_with("comment=") {
        return Ok(Vec::new());
    }
    match option.split_once('=') {
        None if option == "allow_other" => return Ok(vec!["--allow-other".into()]),
        None if option == "no_cache" => return Ok(vec!["--no-cache".into()]),
        Some((name, value)) => {
            if let Some((_, flag)) = WITH_VALUE.iter().find(|(known, _)| *known == name) {
                return Ok(vec![(*flag).into(), value.into()]);
            }
        }
        None => {}
    }
    Err(format!(
        "the mount option '{}' is not known; known are allow_other, no_cache, config=FILE, cache_dir=DIR, cache_size=SIZE",
        forebay_types::printable(option)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(typed: &str) -> Result<String, String> {
        let typed = typed.split(' ').map(OsString::from).collect();
        let words = words(typed)?;
        let words: Vec<String> = words
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        Ok(words.join(" "))
    }

    #[test]
    fn what_mount_says_becomes_what_people_say() {
        for (typed, words) in [
            ("forebay mount a b -o x", "forebay mount a b -o x"),
            ("/sbin/mount.forebay s3://b/ /mnt", "forebay mount s3://b/ /mnt"),
            (
                "mount.forebay s3://b/ /mnt -o ro,allow_other,_netdev,x-systemd.automount,cache_dir=/c",
                "forebay mount s3://b/ /mnt --allow-other --cache-dir /c",
            ),
            (
                "mount.forebay s3://b/ /mnt -sv -n -t forebay -N 3",
                "forebay mount s3://b/ /mnt",
            ),
        ] {
            assert_eq!(of(typed).unwrap(), words, "{typed}");
        }
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for typed in ["rw", "allow_others", "config", "uid=5"] {
            let error = of(&format!("mount.forebay a b -o {typed}")).unwrap_err();
            assert!(error.contains(typed), "{error}");
        }
        assert!(of("mount.forebay a b -o").is_err());
    }
}
