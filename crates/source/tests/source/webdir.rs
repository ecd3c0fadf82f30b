//! Directories of web servers: what is on disk is what is listed, and every listed file can be read.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use forebay_source::{Opener, Source, SourceOptions, version_of};
use forebay_testkit::WebServer;
use forebay_types::{ErrorKind, Version};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::server::{Reply, Server};
use crate::world::{kind, open, within};

/// Names that mean something to URLs, to HTML, to JSON, or to a shell.
const HOSTILE: [&str; 17] = [
    "plain.bin",
    "with space",
    " before and behind ",
    "100%.txt",
    "%41",
    "%2e%2e%2fetc",
    "what?",
    "hash#tag",
    "a&amp;b",
    "a&b;c",
    "quote\"quote",
    "it's",
    "a+b",
    "<b>",
    "a:b",
    "back\\slash",
    "na\u{ef}ve \u{65e5}\u{672c}\u{1f980}",
];

fn opener() -> Opener {
    Opener::new(SourceOptions::default())
}

/// A tree of hostile names, three levels of it, each file with bytes of its own.
fn hostile(root: &FilePath) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for directory in ["", "sub/", "sub/d\u{e9}ep %25&/", "a b/"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
        for name in HOSTILE {
            let key = format!("{directory}{name}");
            let bytes = format!("{key} {}", "x".repeat(files.len() * 7)).into_bytes();
            std::fs::write(root.join(&key), &bytes).unwrap();
            files.insert(key, bytes);
        }
    }
    std::fs::create_dir(root.join("empty")).unwrap();
    files
}

async fn list(source: &Source) -> object_store::Result<Vec<ObjectMeta>> {
    within(source.store.list(Some(&source.path)).try_collect()).await
}

/// Keys relative to the source's path.
fn names(source: &Source, keys: impl IntoIterator<Item = Path>) -> Vec<String> {
    let below = |key: &Path| match source.path.as_ref() {
        "" => key.to_string(),
        prefix => key.as_ref().strip_prefix(prefix).unwrap()[1..].to_owned(),
    };
    keys.into_iter().map(|key| below(&key)).collect()
}

fn locations(metas: &[ObjectMeta]) -> Vec<Path> {
    metas.iter().map(|meta| meta.location.clone()).collect()
}

async fn same_as_on_disk(url: &str, files: &BTreeMap<String, Vec<u8>>) {
    let source = open(&opener(), url);
    assert!(source.is_prefix);
    let metas = list(&source).await.unwrap();
    let expected: Vec<_> = files.keys().cloned().collect();
    assert_eq!(
        names(&source, locations(&metas)),
        expected,
        "{url}: in the order of keys"
    );
    for (meta, bytes) in metas.iter().zip(files.values()) {
        assert_eq!(meta.size, bytes.len() as u64, "{}", meta.location);
        let answer = within(source.store.get(&meta.location)).await.unwrap();
        // What is listed is what is read: the same version, so that nothing is taken for changed.
        assert_eq!(version_of(&answer.meta), version_of(meta), "{}", meta.location);
        assert_ne!(version_of(meta), Version::Unknown);
        assert_eq!(within(answer.bytes()).await.unwrap(), bytes, "{}", meta.location);
        // Its own URL gives the same object.
        let mut own: url::Url = url.parse().unwrap();
        own.path_segments_mut()
            .unwrap()
            .pop_if_empty()
            .extend(names(&source, [meta.location.clone()])[0].split('/'));
        let own = open(&opener(), own.as_str());
        let head = within(own.store.head(&own.path)).await.unwrap();
        assert_eq!(own.object_id(&head), source.object_id(meta));
    }
    let level = within(source.store.list_with_delimiter(Some(&source.path)))
        .await
        .unwrap();
    assert_eq!(
        names(&source, level.common_prefixes),
        ["a b", "empty", "sub"],
        "{url}"
    );
    let here: Vec<_> = expected
        .iter()
        .filter(|name| !name.contains('/'))
        .cloned()
        .collect();
    assert_eq!(names(&source, locations(&level.objects)), here, "{url}");
    assert_eq!(source.skipped_names(), 0, "{url}");
    // Without its slash it is the same directory.
    let bare = open(&opener(), url.trim_end_matches('/'));
    if bare.path != source.path {
        return;
    }
    assert_eq!(locations(&list(&bare).await.unwrap()), locations(&metas));
    let empty = open(&opener(), &format!("{url}empty/"));
    assert!(list(&empty).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_lists_what_is_on_disk() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = hostile(root.path());
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    for path in ["/", "/json/", "/rounded/"] {
        same_as_on_disk(&server.url(path), &files).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_lists_what_is_on_disk() {
    let root = tempfile::tempdir().unwrap();
    let files = hostile(root.path());
    let mut files = files;
    for directory in ["", "sub/"] {
        // nginx hides what begins with a dot.
        for name in ["...", ".hidden"] {
            std::fs::write(root.path().join(directory).join(name), name).unwrap();
            files.insert(format!("{directory}{name}"), name.into());
        }
    }
    let Some(server) = WebServer::python(root.path()) else {
        return;
    };
    same_as_on_disk(&server.url("/"), &files).await;
    // A level down, and a name that means something.
    let below: BTreeMap<String, Vec<u8>> = files
        .iter()
        .filter_map(|(key, bytes)| Some((key.strip_prefix("sub/d\u{e9}ep %25&/")?.to_owned(), bytes.clone())))
        .collect();
    let source = open(&opener(), &server.url("/sub/d%C3%A9ep%20%2525&/"));
    let metas = list(&source).await.unwrap();
    assert_eq!(
        names(&source, locations(&metas)),
        below.into_keys().collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_directory_listing_is_said() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(root.path().join("site")).unwrap();
    std::fs::write(
        root.path().join("site/index.html"),
        "<html><body><a href=\"about.html\">About us</a></body></html>",
    )
    .unwrap();
    std::fs::write(root.path().join("file"), "x").unwrap();
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    for (path, expected, word) in [
        ("/site/", ErrorKind::Unsupported, "no directory listing"),
        ("/json/site/", ErrorKind::Unsupported, "no directory listing"),
        ("/off/", ErrorKind::Denied, "403"),
        ("/none/", ErrorKind::NotFound, "404"),
        ("/file/", ErrorKind::NotFound, "404"),
        // On the way down it is said where.
        ("/", ErrorKind::Unsupported, "/site/: it cannot be listed"),
    ] {
        let source = open(&opener(), &server.url(path));
        let error = list(&source).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{path}: {error}");
        assert!(error.to_string().contains(word), "{path}: {error}");
        if path != "/" {
            let error = within(source.store.list_with_delimiter(Some(&source.path))).await;
            assert_eq!(kind(&error.unwrap_err()), expected, "{path}");
            let error = within(source.check_listing()).await.unwrap_err();
            assert_eq!(kind(&error), expected, "{path}");
        }
    }
    // A page can be read as the page it is.
    let source = open(&opener(), &server.url("/site/"));
    let page = within(source.store.get(&source.path)).await.unwrap();
    assert!(within(page.bytes()).await.unwrap().starts_with(b"<html>"));
    // Below what was typed, what is not there has nothing in it.
    let source = open(&opener(), &server.url("/"));
    within(source.check_listing()).await.unwrap();
    let none: Vec<_> = within(source.store.list(Some(&Path::from("none"))).try_collect())
        .await
        .unwrap();
    assert!(none.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_no_object() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(root.path().join("dir")).unwrap();
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    let source = open(&opener(), &server.url("/dir"));
    assert!(!source.is_prefix);
    for error in [
        within(source.store.head(&source.path)).await.unwrap_err(),
        within(source.store.get(&source.path)).await.unwrap_err(),
    ] {
        assert_eq!(kind(&error), ErrorKind::NotFound);
        assert!(error.to_string().contains("it is a directory"), "{error}");
    }
    // As in a bucket, a key with a slash says that there is one.
    let marker = source.path.clone().join("");
    assert_eq!(within(source.store.head(&marker)).await.unwrap().size, 0);
    let none = Path::from("dir/none").join("");
    assert_eq!(
        kind(&within(source.store.head(&none)).await.unwrap_err()),
        ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_and_what_they_cost() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for n in 0..10_000 {
        let file = std::fs::File::create(root.path().join(format!("file-{n:05}"))).unwrap();
        file.set_len(n % 100).unwrap();
        file.set_modified(old).unwrap();
    }
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    for (path, again) in [("/", 10_000), ("/json/", 0)] {
        let opener = opener();
        let source = open(&opener, &server.url(path));
        let metas = list(&source).await.unwrap();
        assert_eq!(metas.len(), 10_000);
        for (n, meta) in metas.iter().enumerate() {
            assert_eq!(meta.location.filename(), Some(format!("file-{n:05}").as_str()));
            assert_eq!(meta.size, n as u64 % 100);
        }
        let wire = opener.transport().meter();
        assert_eq!((wire.gets(), wire.heads()), (1, 10_000), "{path}");
        // No more connections than files are asked about at a time.
        assert!(wire.connections() <= 16, "{path}: {}", wire.connections());
        assert_eq!(opener.budget().in_use(), 0);
        // Where the page tells exact sizes and times, what it shows unchanged is known already.
        let level = within(source.store.list_with_delimiter(Some(&source.path)))
            .await
            .unwrap();
        assert_eq!(level.objects, metas, "{path}");
        assert_eq!((wire.gets(), wire.heads()), (2, 10_000 + again), "{path}");
    }
    // One of them changes: it alone is asked about again.
    let opener = opener();
    let source = open(&opener, &server.url("/json/"));
    let before = list(&source).await.unwrap();
    std::fs::write(root.path().join("file-00007"), "other bytes").unwrap();
    let after = list(&source).await.unwrap();
    assert_eq!(opener.transport().meter().heads(), 10_001);
    assert_eq!(after[7].size, 11);
    assert_ne!(version_of(&after[7]), version_of(&before[7]));
    assert_eq!((&after[..7], &after[8..]), (&before[..7], &before[8..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_one_connection_is_enough() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = hostile(root.path());
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    let opener = Opener::new(SourceOptions {
        max_connections: 1,
        ..SourceOptions::default()
    });
    assert_eq!(opener.budget().max(), 1);
    let source = open(&opener, &server.url("/"));
    assert_eq!(list(&source).await.unwrap().len(), files.len());
    assert_eq!(opener.transport().meter().connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_lead_in_circles_end() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(root.path().join("a")).unwrap();
    std::fs::write(root.path().join("a/file"), "x").unwrap();
    std::os::unix::fs::symlink("../a", root.path().join("a/again")).unwrap();
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    let source = open(&opener(), &server.url("/a/"));
    let metas = list(&source).await.unwrap();
    // Twice may be chance, the third time is not believed.
    assert_eq!(names(&source, locations(&metas)), ["again/file", "file"]);
    assert_eq!(source.skipped_names(), 1);
    // A tree of the same names that does end.
    std::fs::create_dir_all(root.path().join("c/c/c/c/c")).unwrap();
    std::fs::write(root.path().join("c/c/c/c/c/file"), "x").unwrap();
    let source = open(&opener(), &server.url("/c/"));
    assert_eq!(
        names(&source, locations(&list(&source).await.unwrap())),
        ["c/c/c/c/file"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_left_out_and_counted() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(root.path().join("good"), "x").unwrap();
    std::fs::write(root.path().join("bell\u{7}"), "x").unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("dangling")).unwrap();
    {
        use std::os::unix::ffi::OsStrExt;
        let latin = std::ffi::OsStr::from_bytes(b"latin-\xe9");
        std::fs::write(root.path().join(latin), "x").unwrap();
    }
    let Some(server) = WebServer::nginx(root.path(), scratch.path()) else {
        return;
    };
    for path in ["/", "/json/"] {
        let source = open(&opener(), &server.url(path));
        let metas = list(&source).await.unwrap();
        assert_eq!(names(&source, locations(&metas)), ["good"], "{path}");
        assert_eq!(source.skipped_names(), 3, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_without_end_are_an_error() {
    let server = Server::start(|_, _| page(&html(&["again/"]))).await;
    let error = list(&open(&opener(), &server.url("/d/"))).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("a link leads back"), "{error}");
    assert_eq!(server.requests(), 128);
}

fn html(links: &[&str]) -> String {
    let links: String = links
        .iter()
        .map(|link| format!("<a href=\"{link}\">{link}</a>\n"))
        .collect();
    format!("<html><head><title>Index of /</title></head><body>{links}</body></html>")
}

fn page(body: &str) -> Reply {
    Reply::of("200 OK\nContent-Type: text/html", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_pages_lead_nowhere() {
    let server = Server::start(|head, _| {
        if head.starts_with("GET /d/ ") {
            page(&html(&[
                "good",
                "../up",
                "/etc/passwd",
                "//elsewhere/d/x",
                "http://elsewhere/d/x",
                "%2e%2e/up",
                "..%2fup",
                "a/../../up",
                "?C=N;O=D",
                "javascript:alert(1)",
                "mailto:a@b",
            ]))
        } else {
            Reply::of("200 OK\nETag: \"a\"", "0123456789")
        }
    })
    .await;
    let source = open(&opener(), &server.url("/d/"));
    let metas = list(&source).await.unwrap();
    assert_eq!(names(&source, locations(&metas)), ["good"]);
    assert_eq!(source.skipped_names(), 1, "..%2fup");
    let asked: Vec<_> = server
        .heads()
        .iter()
        .map(|head| head.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(asked, ["GET /d/ HTTP/1.1", "HEAD /d/good HTTP/1.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_another_origin_is_refused() {
    let away = Server::start(|_, _| page(&html(&["x"]))).await;
    let target = away.url("/d/?token=s3cr3t");
    let home = Server::start(move |head, _| {
        if head.starts_with("GET /d/ ") {
            Reply::of(&format!("302 Found\nLocation: {target}"), "")
        } else if head.starts_with("GET /moved/ ") {
            Reply::of("302 Found\nLocation: /new/", "")
        } else if head.starts_with("GET /new/ ") {
            page(&html(&["x"]))
        } else {
            Reply::of("200 OK\nETag: \"a\"", "0123")
        }
    })
    .await;
    let url = format!("http://alice:hunter2@{}", home.addr);
    let source = open(&opener(), &format!("{url}/d/"));
    let error = list(&source).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unsupported, "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(&away.url("/d/")), "{text}");
    assert!(!text.contains("s3cr3t") && !text.contains("hunter2"), "{text}");
    assert_eq!(away.requests(), 0);
    // Within the origin it is followed, with the password.
    let source = open(&opener(), &format!("{url}/moved/"));
    assert_eq!(names(&source, locations(&list(&source).await.unwrap())), ["x"]);
    assert!(
        home.heads()
            .iter()
            .all(|head| head.contains("authorization: basic"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_pages_and_lost_servers_are_errors() {
    let whole = html(&["a", "b"]);
    let half = whole[..whole.len() / 2].to_owned();
    for broken in [
        // Its length was announced.
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{half}",
            whole.len()
        ),
        // It came in chunks, the last of which did not.
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n",
            half.len()
        ),
        // Nothing but the end of the connection could tell.
        format!("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n{half}"),
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"name\":\"a\"}".to_owned(),
    ] {
        let reply = broken.clone();
        let server = Server::start(move |head, _| {
            if head.starts_with("GET /d/ ") {
                Reply::raw(reply.clone())
            } else {
                Reply::of("200 OK", "x")
            }
        })
        .await;
        let source = open(&opener(), &server.url("/d/"));
        let error = list(&source).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Unavailable, "{broken}: {error}");
    }
    // A whole one that only ends.
    let reply = format!("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n{whole}");
    let server = Server::start(move |head, _| {
        if head.starts_with("GET /d/ ") {
            Reply::raw(reply.clone())
        } else {
            Reply::of("200 OK", "x")
        }
    })
    .await;
    assert_eq!(list(&open(&opener(), &server.url("/d/"))).await.unwrap().len(), 2);
    // A server that fails for one of the files: not half a listing.
    let server = Server::start(|head, _| {
        if head.starts_with("GET /d/ ") {
            page(&html(&["a", "b"]))
        } else if head.starts_with("HEAD /d/a ") {
            Reply::of("200 OK", "x")
        } else {
            Reply::of("500 Internal Server Error\nRetry-After: 0", "")
        }
    })
    .await;
    let source = open(&opener(), &server.url("/d/"));
    let error = list(&source).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("/d/b: "), "{error}");
    // Nobody there.
    let error = list(&open(&opener(), "http://127.0.0.1:9/d/")).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unavailable, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_end_is_refused() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999999999999\r\n\r\n<html>";
    let server = Server::start(move |_, _| Reply::raw(head)).await;
    let error = list(&open(&opener(), &server.url("/d/"))).await.unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_slash_in_its_link_may_be_a_directory() {
    let server = Server::start(|head, _| match head.split(' ').nth(1).unwrap() {
        "/d/" => page(&html(&["file", "sub", "secret"])),
        "/d/sub" => Reply::of("301 Moved Permanently\nLocation: http://inner:81/d/sub/", ""),
        "/d/sub/" => page(&html(&["deep"])),
        "/d/secret" => Reply::of("403 Forbidden", ""),
        _ => Reply::of("200 OK\nETag: \"a\"", "0123"),
    })
    .await;
    let source = open(&opener(), &server.url("/d/"));
    let metas = list(&source).await.unwrap();
    assert_eq!(names(&source, locations(&metas)), ["file", "sub/deep"]);
    let level = within(source.store.list_with_delimiter(Some(&source.path)))
        .await
        .unwrap();
    assert_eq!(names(&source, level.common_prefixes), ["sub"]);
    assert_eq!(names(&source, locations(&level.objects)), ["file"]);
    assert_eq!(source.skipped_names(), 2, "the secret one, twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_with_a_query_is_one_object() {
    let server = Server::start(|_, _| Reply::of("200 OK", "x")).await;
    let source = open(&opener(), &server.url("/d/?sig=s3cr3t"));
    assert!(!source.is_prefix);
    assert_eq!(
        within(within(source.store.get(&source.path)).await.unwrap().bytes())
            .await
            .unwrap(),
        "x"
    );
    let error = list(&source).await.unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Unsupported);
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
}
