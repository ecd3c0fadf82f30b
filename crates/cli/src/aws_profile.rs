//! The profiles of `~/.aws`, as the AWS tools read them.
//!
//! `[default]` or what `AWS_PROFILE` names, from `~/.aws/credentials` (`AWS_SHARED_CREDENTIALS_FILE`) and `~/.aws/config`
//! (`AWS_CONFIG_FILE`, where sections are called `[profile NAME]`). The environment goes before both. Only what can be used
//! is read: keys, region, endpoint. A profile that needs a program or a login of its own is not supported, and said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use forebay_types::{limits::MAX_SETTINGS_BYTES, printable};

use crate::env::Env;
use crate::exit::{CliError, Result};

/// The keys that become settings of the S3 client, and their names there.
const KEYS: [(&str, &str); 5] = [
    ("aws_access_key_id", "aws_access_key_id"),
    ("aws_secret_access_key", "aws_secret_access_key"),
    ("aws_session_token", "aws_session_token"),
    ("region", "aws_region"),
    ("endpoint_url", "aws_endpoint_url"),
];

/// Adds to `cloud` what the profile has and the environment has not.
///
/// # Errors
/// If `AWS_PROFILE` names a profile that is in neither file.
pub(crate) fn fill(cloud: &mut BTreeMap<String, String>, env: &Env) -> Result<()> {
    let file = |variable: &str, usual: &str| -> Option<PathBuf> {
        let named = env.cloud.get(variable).map(PathBuf::from);
        named.or_else(|| Some(env.home.as_ref()?.join(".aws").join(usual)))
    };
    let asked = env.cloud.get("aws_profile").filter(|name| !name.is_empty());
    let profile = asked.map_or("default", String::as_str);
    let credentials = section(
        file("aws_shared_credentials_file", "credentials"),
        &[profile.to_owned()],
    );
    let config_names = [format!("profile {profile}"), profile.to_owned()];
    // In the config file `[NAME]` without «profile» is only right for the default.
    let config_names = if profile == "default" {
        &config_names[..]
    } else {
        &config_names[..1]
    };
    let config = section(file("aws_config_file", "config"), config_names);
    if credentials.is_none() && config.is_none() && asked.is_some() {
        let shown = printable(profile);
        return Err(CliError::usage(format!(
            "AWS_PROFILE names the profile '{shown}', which is in no file of ~/.aws"
        ))
        .hint("see `aws configure list-profiles`, or unset AWS_PROFILE"));
    }
    let mut found = config.unwrap_or_default();
    found.extend(credentials.unwrap_or_default());
    // Keys belong together: a secret of one place with the id of another is nobody's.
    let own_keys = cloud.contains_key("aws_access_key_id") || cloud.contains_key("aws_secret_access_key");
    for (name, setting) in KEYS {
        let is_key = name.starts_with("aws_");
        // AWS_DEFAULT_REGION is a region too.
        let taken = cloud.contains_key(setting)
            || (setting == "aws_region" && cloud.contains_key("aws_default_region"));
        if let Some(value) = found.remove(name)
            && !taken
            && !(is_key && own_keys)
        {
            cloud.insert(setting.to_owned(), value);
        }
    }
    if asked.is_some() && !cloud.contains_key("aws_access_key_id") {
        for unsupported in ["credential_process", "sso_session", "sso_start_url", "role_arn"] {
            if found.contains_key(unsupported) {
                tracing::warn!(
                    profile,
                    unsupported,
                    "this way to credentials is not supported; export them with `aws configure export-credentials --format env`"
                );
            }
        }
    }
    Ok(())
}

/// The keys and values of the first section with one of these names; `None` if there is no such file or section.
fn section(path: Option<PathBuf>, names: &[String]) -> Option<BTreeMap<String, String>> {
    let text = read(&path?)?;
    let mut values = None;
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|l| l.split_once(']'))
            .map(|(name, _)| name.trim())
        {
            inside = names.iter().any(|n| n == name);
            if inside {
                values.get_or_insert_with(BTreeMap::new);
            }
        } else if inside
            // Indented lines belong to a nested setting (`s3 =`), which says nothing that we use.
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
            && let Some(values) = &mut values
        {
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

fn read(path: &Path) -> Option<String> {
    // Not there is the usual case, and unreadable is no reason to fail: the keys may come from elsewhere.
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    if metadata.len() > MAX_SETTINGS_BYTES {
        return None;
    }
    std::fs::read_to_string(path)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "cannot be read"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(env: &[(&str, &str)]) -> Result<BTreeMap<String, String>> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(
            home.path().join(".aws/credentials"),
            "# mine\n[default]\naws_access_key_id = D\naws_secret_access_key=DS=/+\n\n[work]\naws_access_key_id=W\naws_secret_access_key=WS\n",
        )
        .unwrap();
        std::fs::write(
            home.path().join(".aws/config"),
            "[default]\nregion = eu-west-1\ns3 =\n  endpoint_url = nested\n[profile work]\nregion=us-east-2\nendpoint_url=https://s3.example\n",
        )
        .unwrap();
        let cloud: BTreeMap<String, String> = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let env = Env {
            cloud: cloud.clone(),
            home: Some(home.path().to_owned()),
            ..Env::default()
        };
        let mut cloud = cloud;
        fill(&mut cloud, &env)?;
        Ok(cloud)
    }

    #[test]
    fn the_default_profile_needs_no_naming() {
        let cloud = filled(&[]).unwrap();
        assert_eq!(cloud["aws_access_key_id"], "D");
        assert_eq!(cloud["aws_secret_access_key"], "DS=/+");
        assert_eq!(cloud["aws_region"], "eu-west-1");
        assert!(!cloud.contains_key("aws_endpoint_url"));
    }

    #[test]
    fn a_named_profile_is_taken_and_a_wrong_name_is_said() {
        let cloud = filled(&[("aws_profile", "work")]).unwrap();
        assert_eq!(
            (cloud["aws_access_key_id"].as_str(), cloud["aws_region"].as_str()),
            ("W", "us-east-2")
        );
        assert_eq!(cloud["aws_endpoint_url"], "https://s3.example");
        let error = filled(&[("aws_profile", "wrok")]).unwrap_err();
        assert!(error.to_string().contains("wrok"), "{error}");
    }

    #[test]
    fn the_environment_goes_first_and_keys_are_not_mixed() {
        let cloud = filled(&[("aws_access_key_id", "E"), ("aws_default_region", "here")]).unwrap();
        assert_eq!(cloud["aws_access_key_id"], "E");
        assert!(!cloud.contains_key("aws_secret_access_key"));
        assert!(!cloud.contains_key("aws_region"));
    }
}
