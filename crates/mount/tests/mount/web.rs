//! A directory of nginx, mounted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use forebay_source::{Opener, Source, SourceOptions};
use forebay_testkit::WebServer;
use forebay_vfs::Freshness;

use crate::world::{MIB, Mounted, Setup, noise, soon};

/// Size, date and bytes by path.
type Tree = BTreeMap<String, (u64, i64, Vec<u8>)>;

/// Names, sizes, times and bytes of all below a directory; those of a directory are its names.
fn tree(at: &Path) -> io::Result<Tree> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(at)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type()?.is_dir() {
            found.insert(format!("{name}/"), (0, 0, Vec::new()));
            for (below, what) in tree(&entry.path())? {
                found.insert(format!("{name}/{below}"), what);
            }
        } else {
            let meta = entry.metadata()?;
            found.insert(name, (meta.size(), meta.mtime(), fs::read(entry.path())?));
        }
    }
    Ok(found)
}

/// Now, or as soon as what was believed is not any more.
fn same(at: &Path, as_in: &Path) -> bool {
    tree(at).is_ok_and(|tree_there| tree_there == tree(as_in).unwrap())
}

fn source(url: &str) -> Source {
    Opener::new(SourceOptions::default())
        .open(&url.parse().unwrap())
        .unwrap()
}

#[test]
fn a_web_directory_is_a_tree_of_files() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = root.path().join("a dir");
    fs::create_dir_all(dir.join("sub/deep")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for (n, name) in [
        "big.bin",
        "sub/100%",
        "sub/a&b #?",
        "sub/deep/\u{e9}+",
        "sub/none",
    ]
    .iter()
    .enumerate()
    {
        fs::write(dir.join(name), noise(n as u64, (4 - n as u64) * (MIB + 7))).unwrap();
    }
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    for path in ["/a%20dir/", "/json/a%20dir/"] {
        let Some(mounted) = Mounted::new(source(&server.url(path)), Setup::default()) else {
            return;
        };
        // By its name alone, before anything was listed: a file, a directory, one without anything in it, nothing.
        assert_eq!(
            fs::metadata(mounted.at("sub/deep/\u{e9}+")).unwrap().len(),
            MIB + 7,
            "{path}"
        );
        assert!(fs::metadata(mounted.at("sub")).unwrap().is_dir());
        assert!(fs::metadata(mounted.at("empty")).unwrap().is_dir());
        assert_eq!(fs::read_dir(mounted.at("empty")).unwrap().count(), 0);
        let missing = fs::metadata(mounted.at("sub/missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(same(&mounted.path(), &dir), "{path}");
        assert_eq!(mounted.mount.stats().errors, 0, "{path}");
    }
}

#[test]
fn changes_on_a_web_server_show_and_its_end_is_an_error() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let write = |name: &str, bytes: &[u8], age: u64| {
        fs::write(root.path().join(name), bytes).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(root.path().join(name))
            .unwrap();
        file.set_modified(old + Duration::from_secs(age)).unwrap();
    };
    write("changes", b"one", 0);
    write("stays", b"stays", 0);
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    let setup = Setup {
        freshness: Freshness::Ttl(Duration::from_millis(20)),
        ..Setup::default()
    };
    // In JSON, where what looks unchanged is not asked about again.
    let Some(mounted) = Mounted::new(source(&server.url("/json/")), setup) else {
        return;
    };
    assert!(same(&mounted.path(), root.path()));
    // Of the same size, by a second younger.
    write("changes", b"two", 1);
    write("comes", b"new", 0);
    assert!(soon(|| same(&mounted.path(), root.path())));
    fs::remove_file(root.path().join("changes")).unwrap();
    assert!(soon(|| same(&mounted.path(), root.path())));
    drop(server);
    assert!(soon(
        || fs::read_dir(mounted.path()).is_err() || fs::metadata(mounted.at("stays")).is_err()
    ));
}
