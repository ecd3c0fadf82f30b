//! What a large manifest costs in memory, while it is read and after.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use forebay_manifest::{Hash, Limits, Manifest, Version};

/// Bytes allocated now, and at most.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

impl Counting {
    fn more(bytes: usize) {
        HIGHEST.fetch_max(ALLOCATED.fetch_add(bytes, Relaxed) + bytes, Relaxed);
    }
}

// SAFETY: everything is the system's allocator's, which keeps the promises; counting changes nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::more(layout.size());
        // SAFETY: the caller keeps the promises that the same call to the system's needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above; it was allocated there.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Large blocks are moved by the kernel, page by page, and are never there twice.
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        Self::more(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

const FILES: usize = 100_000;

fn manifest() -> String {
    let path = |n: usize| {
        format!(
            "projects/show/seq{:03}/shot{:04}/beauty.{:06}.exr",
            n / 50_000,
            n / 500,
            n
        )
    };
    let entry = |n| {
        format!(
            r#"{{"hash":"{}","mtime":{n},"path":"{}","size":{n}}}"#,
            Hash::of(&[n as u8]),
            path(n)
        )
    };
    let entries = (0..FILES).map(entry).collect::<Vec<_>>().join(",");
    let total = FILES * (FILES - 1) / 2;
    format!(
        r#"{{"hashAlg":"xxh128","manifestVersion":"2023-03-03","paths":[{entries}],"totalSize":{total}}}"#
    )
}

/// One test: the others of this process would be counted too.
#[test]
fn a_file_costs_48_bytes_beside_its_path() {
    let text = manifest();
    for version in [Version::V2023, Version::Beta2025] {
        let bytes = Manifest::decode(text.as_bytes(), &Limits::default())
            .and_then(|manifest| manifest.to_version(version))
            .unwrap()
            .encode();
        let before = ALLOCATED.load(Relaxed);
        HIGHEST.store(before, Relaxed);
        let manifest = Manifest::decode(&bytes, &Limits::default()).unwrap();
        let kept = ALLOCATED.load(Relaxed) - before;
        let highest = HIGHEST.load(Relaxed) - before;
        let paths: usize = manifest.files().map(|file| file.path.as_bytes().len()).sum();
        let beside = (kept - paths) as f64 / FILES as f64;
        println!(
            "{version:?}: {beside:.1} bytes for each file beside its path of {:.1}; {:.1} at most while it is read",
            paths as f64 / FILES as f64,
            highest as f64 / FILES as f64
        );
        assert!(kept.abs_diff(manifest.heap_bytes()) < 1000, "{kept}");
        assert!(beside < 49.0, "{beside}");
        assert!(highest < 3 * kept, "{highest}");
        drop(manifest);
        assert!(ALLOCATED.load(Relaxed) - before < 1000);
    }

    // A few bytes of a draft stand for a path of 4 KB: what is not allowed is not taken.
    let deep = (0..15).map(|n| format!(r#"{{"name":"${n}/{}"}}"#, "d".repeat(250)));
    let dirs = std::iter::once(r#"{"name":"d"}"#.to_owned())
        .chain(deep)
        .collect::<Vec<_>>()
        .join(",");
    let files = (0..20_000)
        .map(|n| format!(r#"{{"delete":true,"name":"$15/{n}"}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let bomb = format!(
        r#"{{"dirs":[{dirs}],"files":[{files}],"hashAlg":"xxh128","specificationVersion":"relative-manifest-diff-beta-2025-12","totalSize":0}}"#
    );
    let limits = Limits {
        path_bytes: 1 << 20,
        ..Limits::default()
    };
    let before = ALLOCATED.load(Relaxed);
    HIGHEST.store(before, Relaxed);
    let error = Manifest::decode(bomb.as_bytes(), &limits).unwrap_err();
    assert!(
        error.to_string().contains("more bytes in paths than the 1048576"),
        "{error}"
    );
    let highest = HIGHEST.load(Relaxed) - before;
    assert!(highest < 3 << 20, "{highest}");
}
