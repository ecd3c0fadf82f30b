use super::super::keys::tests::{NEEDS, OTHERS, effects};
use super::*;

fn after(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    apply_text(&mut settings, Path::new("/x/forebay.toml"), text).map(|()| settings)
}

#[test]
fn every_key_can_be_set_in_the_file() {
    for key in KEYS {
        let (_, other) = OTHERS.iter().find(|(name, _)| *name == key.name).expect(key.name);
        let (table, name) = key.parts();
        let needs: String = NEEDS
            .iter()
            .filter(|(name, ..)| *name == key.name)
            .map(|(_, needed, value)| format!("{needed} = \"{value}\"\n"))
            .collect();
        let before = effects(&after(&needs).unwrap());
        let settings = after(&format!("{needs}{table}.{name} = \"{other}\"")).unwrap();
        assert_ne!(effects(&settings), before, "{} changes nothing", key.name);
        assert_eq!(settings.origin(key), &Origin::File("/x/forebay.toml".into()));
    }
}

#[test]
fn values_may_be_typed() {
    let settings = after(
        "[range]\nmax_connections = 9\nhedge = false\nchunk_size = 1048576\nmin_split_size = \"2 MiB\"\n\
         [readahead]\nprefetch_multiplier = 3\n[readahead.by_extension]\nmkv = \"1MiB\"\nbin = 4096",
    )
    .unwrap();
    assert_eq!(settings.readahead.prefetch_multiplier, 3.0);
    assert_eq!(settings.readahead.by_extension.get("a.mkv"), Some(1 << 20));
    assert_eq!(settings.readahead.by_extension.get("a.bin"), Some(4096));
    let settings_f64 = after("[readahead]\nprefetch_multiplier = 1.5").unwrap();
    assert_eq!(settings_f64.readahead.prefetch_multiplier, 1.5);
    assert_eq!(settings.range.max_connections, 9);
    assert!(!settings.range.hedge);
    assert_eq!(settings.range.chunk_size, Some(forebay_types::ByteSize::mib(1)));
    assert_eq!(
        settings.range.min_split_size,
        Some(forebay_types::ByteSize::mib(2))
    );
}

#[test]
fn mistakes_are_told_with_place_and_help() {
    for (text, parts) in [
        (
            "[range]\nchunk_sizes = 1",
            ["[range] has no key 'chunk_sizes'", "'chunk_size'?"],
        ),
        ("[rage]\nx = 1", ["no table [rage]", "[range]?"]),
        ("[kangaroo]\nx = 1", ["no table [kangaroo]", "lists all"]),
        (
            "[readahead]\nreadahead_maxx = 1",
            ["[readahead] has no key 'readahead_maxx'", "'readahead_max'?"],
        ),
        (
            "[performance]\nreadahead_size = \"8MiB\"\nprefetch_enabled = true",
            [
                "performance.readahead_size is now readahead.readahead_size",
                "performance.prefetch_enabled is now readahead.prefetch_enabled",
            ],
        ),
        (
            "[performance]\n",
            ["no table [performance] any more", "write [readahead]"],
        ),
        (
            "[readahead.by_extension]\nmkv = true",
            ["readahead.by_extension: mkv is of type boolean", "a size"],
        ),
        (
            "[readahead]\nby_extension = 3",
            ["3 is not a table of sizes", "readahead.by_extension"],
        ),
        (
            "[cache]\nwrite = 1",
            ["1 is not auto, direct or buffered", "cache.write"],
        ),
        (
            "[performance]\nread_timeout = 30\ncheck_pieces_before_read = true",
            [
                "performance.read_timeout is now rqbit.read_timeout",
                "performance.check_pieces_before_read is gone: a read waits",
            ],
        ),
        (
            "[api]\nurl = \"http://127.0.0.1:3030\"\npassword = \"x\"",
            [
                "api.url is gone: the URL is typed",
                "api.password is gone: set RQBIT",
            ],
        ),
        (
            "[cache]\nmetadata_ttl = 60\ntorrent_list_ttl = 30",
            [
                "cache.metadata_ttl is now mount.ttl",
                "cache.torrent_list_ttl is now rqbit.believed",
            ],
        ),
        (
            "max_concurrent_reads = 10\n[mount]\nmount_point = \"/mnt\"",
            [
                "max_concurrent_reads is now rqbit.max_streams",
                "mount.mount_point is gone: the directory is typed",
            ],
        ),
        ("hedge = true", ["'hedge' stands outside of a table", "[range]"]),
        ("chunk_size = 1", ["outside of a table", "[range] or [file]"]),
        ("[file]\nca_file = \"x\"", ["no key 'ca_file'", "table [http]"]),
        ("[range]\nhedge = 1", ["1 is not true or false", "range.hedge"]),
        (
            "[range]\nchunk_size = true",
            ["true is not a size", "range.chunk_size"],
        ),
        (
            "[range]\nchunk_size = 1.5",
            ["1.5 is not a size", "range.chunk_size"],
        ),
        ("[range]\nmax_connections = [1]", ["type array", "a whole number"]),
        ("[range]\nstall_timeout = 10", ["10 is not a time", "\"10s\""]),
        (
            "[http]\nca_file = true",
            ["true is not the name of a file", "http.ca_file"],
        ),
        (
            "[range]\nmax_retries = -1",
            ["'-1' is not a whole number", "range.max_retries"],
        ),
        ("\n[range\nx", ["is not TOML", "line 2"]),
        ("[range]\nhedge = true\nhedge = false", ["is not TOML", "line 3"]),
    ] {
        let error = after(text).unwrap_err();
        assert_eq!(error.kind(), forebay_types::ErrorKind::Invalid);
        let message = error.to_string();
        assert!(message.contains("/x/forebay.toml"), "{text}: {message}");
        for part in parts {
            assert!(message.contains(part), "{text}: no {part:?} in {message}");
        }
    }
}

#[test]
fn what_a_broken_line_holds_is_not_shown() {
    let error = after("[range]\nsecret = hunter2\n").unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
}

fn global(config: Option<PathBuf>) -> Global {
    Global {
        config,
        ..Global::default()
    }
}

#[test]
fn only_a_file_that_was_named_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env {
        config_home: Some(dir.path().to_owned()),
        ..Env::default()
    };
    let mut settings = Settings::default();
    apply(&mut settings, &env, &global(None)).unwrap();
    assert!(settings.settings_file().is_some_and(|(_, found)| !found));

    let missing = dir.path().join("none.toml");
    let error = apply(&mut settings, &env, &global(Some(missing))).unwrap_err();
    assert_eq!(error.kind(), forebay_types::ErrorKind::Invalid);
    assert!(error.to_string().contains("none.toml"), "{error}");

    std::fs::create_dir(dir.path().join("forebay")).unwrap();
    std::fs::write(
        dir.path().join("forebay/forebay.toml"),
        "[range]\nmax_retries = 1",
    )
    .unwrap();
    apply(&mut settings, &env, &global(None)).unwrap();
    assert_eq!(settings.range.max_retries, 1);
    assert!(settings.settings_file().is_some_and(|(_, found)| found));
}

#[test]
fn a_huge_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.toml");
    std::fs::write(&path, "#".repeat(MAX_SETTINGS_BYTES as usize + 1)).unwrap();
    let error = apply(&mut Settings::default(), &Env::default(), &global(Some(path))).unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}
