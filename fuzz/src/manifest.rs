//! Any bytes as a manifest. libFuzzer runs this (`fuzz/run`), and so do the tests of the crate.

use std::hint::black_box;

use forebay_manifest::{FileKind, Kind, Limits, Manifest, ManifestPath, Version, compose, diff};

/// What is refused is refused with a message. What is accepted is written as bytes that are read as the same, leads
/// nowhere outside, and is what the rules of merging and comparing say.
pub fn manifest(data: &[u8]) {
    let limits = Limits {
        bytes: 1 << 20,
        entries: 20_000,
        path_bytes: 4 << 20,
    };
    let manifest = match Manifest::decode(data, &limits) {
        Ok(manifest) => manifest,
        Err(error) => {
            black_box(error.to_string());
            return;
        }
    };
    let bytes = manifest.encode();
    let same = |other: &Manifest| {
        assert!(other.encode() == bytes, "{manifest:?} {other:?}");
        assert!(other.files().eq(manifest.files()) && other.dirs().eq(manifest.dirs()));
    };
    assert!(bytes.is_ascii());
    same(&read(&bytes));
    for (number, file) in manifest.files().enumerate() {
        stays_inside(file.path);
        assert_eq!(manifest.find(file.path), Some(number));
        if let FileKind::Symlink { target } = file.kind
            && !matches!(target.as_bytes(), b"." | b"/")
        {
            stays_inside(target);
        }
    }
    manifest.dirs().for_each(|dir| stays_inside(dir.path));

    let draft = read(
        &manifest
            .to_version(Version::Beta2025)
            .expect("a draft holds everything")
            .encode(),
    );
    assert!(draft.files().eq(manifest.files()));
    if manifest.version() == Version::V2023 {
        same(&draft.to_version(Version::V2023).expect("it was one"));
    } else if let Ok(old) = manifest.to_version(Version::V2023) {
        assert!(read(&old.encode()).files().eq(manifest.files()));
    }
    if manifest.kind() == Kind::Snapshot {
        same(&compose(&[&manifest, &manifest]).expect("it goes with itself"));
        let nothing = diff(&manifest, &manifest, None).expect("it goes with itself");
        assert_eq!((nothing.files().len(), nothing.dirs().len()), (0, 0));
    }
}

fn read(bytes: &[u8]) -> Manifest {
    Manifest::decode(bytes, &Limits::default()).expect("what was written is read")
}

fn stays_inside(path: ManifestPath<'_>) {
    let bad = |component: &[u8]| matches!(component, b"" | b"." | b"..") || component.contains(&0);
    assert!(
        path.components().count() > 0 && !path.components().any(bad),
        "{path}"
    );
}
