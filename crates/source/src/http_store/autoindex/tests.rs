use proptest::prelude::*;

use super::html::{Child, child, unescape};
use super::*;

/// What all servers were given to list; the pages are theirs.
const FILES: [&str; 10] = [
    "100%.txt",
    "<b>&amp;.txt",
    "a&b;\"quoted\" 'x'.txt",
    "a:b",
    "back\\slash",
    "big",
    "longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong",
    "na\u{ef}ve \u{65e5}\u{672c}.txt",
    "plain.bin",
    "what?#frag+plus.txt",
];
const DIRECTORIES: [&str; 2] = ["a dir", "sub"];

fn base(url: &str) -> Url {
    url.parse().unwrap()
}

fn page(kind: &str, page: &str) -> Result<Listing, NoListing> {
    let head = Head {
        content_type: Some(kind),
        whole: true,
    };
    read(&base("http://h/d/"), head, page.as_bytes())
}

fn names(listing: &Listing) -> Vec<String> {
    let shown = |entry: &Entry| format!("{}{}", entry.name, if entry.directory { "/" } else { "" });
    listing.entries.iter().map(shown).collect()
}

#[test]
fn each_server_lists_what_there_is() {
    for (server, url, kind, page) in [
        (
            "nginx",
            "http://h/",
            "text/html; charset=utf-8",
            &include_bytes!("pages/nginx.html")[..],
        ),
        (
            "nginx, rounded",
            "http://h/rounded/",
            "text/html",
            include_bytes!("pages/nginx-rounded.html"),
        ),
        (
            "nginx, json",
            "http://h/json/",
            "application/json",
            include_bytes!("pages/nginx.json"),
        ),
        (
            "python",
            "http://h/",
            "text/html; charset=utf-8",
            include_bytes!("pages/python.html"),
        ),
        (
            "apache",
            "http://h/",
            "text/html;charset=ISO-8859-1",
            include_bytes!("pages/apache-plain.html"),
        ),
        (
            "apache, fancy",
            "http://h/fancy/",
            "text/html",
            include_bytes!("pages/apache-fancy.html"),
        ),
        (
            "apache, table",
            "http://h/table/",
            "text/html",
            include_bytes!("pages/apache-table.html"),
        ),
        (
            "lighttpd",
            "http://h/",
            "text/html;charset=utf-8",
            include_bytes!("pages/lighttpd.html"),
        ),
    ] {
        for content_type in [Some(kind), None] {
            let head = Head {
                content_type,
                whole: false,
            };
            let listing = read(&base(url), head, page).unwrap();
            let of_kind = |directory| {
                let entries = listing
                    .entries
                    .iter()
                    .filter(move |entry| entry.directory == directory);
                entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>()
            };
            assert_eq!(of_kind(false), FILES, "{server}");
            assert_eq!(of_kind(true), DIRECTORIES, "{server}");
            assert_eq!((listing.left_out, listing.first_left_out), (0, None), "{server}");
            // Only nginx's JSON tells sizes that can be believed.
            let big = listing.entries.iter().find(|entry| entry.name == "big").unwrap();
            let told = Told {
                size: 1_234_000,
                modified: 1_709_618_828_000_000,
            };
            assert_eq!(big.told, (server == "nginx, json").then_some(told), "{server}");
        }
        // Torn anywhere, it is no listing: its end is what makes it one.
        for len in (0..page.len() - 20).step_by(7) {
            let head = Head {
                content_type: Some(kind),
                whole: false,
            };
            assert!(
                read(&base(url), head, &page[..len]).is_err(),
                "{server} up to {len}"
            );
        }
    }
}

#[test]
fn json_of_other_servers() {
    // Caddy's shape.
    let caddy = r#"[{"name":"x.bin","size":12,"url":"./x.bin","mod_time":"2024-03-05T06:07:08.5Z","mode":420,"is_dir":false,"is_symlink":false},
        {"name":"sub/","size":4096,"url":"./sub/","mod_time":"2024-03-05T06:07:08Z","mode":2147484141,"is_dir":true,"is_symlink":false}]"#;
    let listing = page("application/json", caddy).unwrap();
    assert_eq!(names(&listing), ["sub/", "x.bin"]);
    let told = Told {
        size: 12,
        modified: 1_709_618_828_500_000,
    };
    assert_eq!(listing.entries[1].told, Some(told));
    assert_eq!(listing.entries[0].told, None);
    let seconds =
        r#"[{"name":"a","size":1,"mtime":7,"more":[{"deep":{}}]},{"name":"b","size":-1,"mtime":null}]"#;
    let listing = page("application/json; charset=utf-8", seconds).unwrap();
    let told = Told {
        size: 1,
        modified: 7_000_000,
    };
    assert_eq!(listing.entries[0].told, Some(told));
    assert_eq!(listing.entries[1].told, None);
    assert_eq!(page("application/json", "[]").unwrap(), Listing::default());
    for (other, error) in [
        ("{\"files\":[]}", "no directory listing"),
        ("[1]", "no directory listing"),
        ("[{\"size\":1}]", "no directory listing"),
        ("[{\"name\":1}]", "no directory listing"),
        ("[] []", "no directory listing"),
        ("[{\"name\":\"a\"}", "ends in the middle"),
        ("", "ends in the middle"),
    ] {
        let said = page("application/json", other).unwrap_err().to_string();
        assert!(said.contains(error), "{other}: {said}");
    }
}

#[test]
fn json_names_that_cannot_be_are_left_out() {
    let mut text =
        br#"[{"name":".."},{"name":"."},{"name":"a/b"},{"name":"../x"},{"name":"bell\u0007"},{"name":""},"#
            .to_vec();
    text.extend_from_slice(b"{\"name\":\"latin-\xe9\"},{\"name\":\"half \\ud800\"},{\"name\":\"fifo\",\"type\":\"other\"},{\"name\":\"good\"}]");
    let head = Head {
        content_type: Some("application/json"),
        whole: true,
    };
    let listing = read(&base("http://h/d/"), head, &text).unwrap();
    assert_eq!(names(&listing), ["good"]);
    assert_eq!(listing.left_out, 7);
    assert_eq!(listing.first_left_out.as_deref(), Some("a/b"));
}

#[test]
fn only_links_into_the_directory_are_names() {
    let here = base("https://user@h:8080/a%20b/d/");
    let here = {
        let mut here = here;
        here.set_username("").unwrap();
        here
    };
    let name = |name: &str| Child::Name(name.to_owned(), false);
    for (href, expected) in [
        ("x", name("x")),
        ("./x", name("x")),
        ("./a:b", name("a:b")),
        ("x/", Child::Name("x".to_owned(), true)),
        ("/a%20b/d/x", name("x")),
        ("/a b/d/x", name("x")),
        ("/%61%20b/d/x", name("x")),
        ("https://h:8080/a%20b/d/x", name("x")),
        ("//h:8080/a%20b/d/x", name("x")),
        ("../d/x", name("x")),
        ("%2e%2e%2f%2e%2e%2fetc", Child::Impossible("../../etc".to_owned())),
        ("a%2Fb", Child::Impossible("a/b".to_owned())),
        ("a%00b", Child::Impossible("a\0b".to_owned())),
        ("%ff", Child::Impossible("\u{fffd}".to_owned())),
        ("%252e%252e", name("%2e%2e")),
        ("100%", name("100%")),
        ("a+b", name("a+b")),
        ("...", name("...")),
        // Out of it, or deeper in.
        ("..", Child::Elsewhere),
        ("../", Child::Elsewhere),
        ("%2e%2e/", Child::Elsewhere),
        ("../../etc/passwd", Child::Elsewhere),
        ("..\\x", Child::Elsewhere),
        ("x/y", Child::Elsewhere),
        ("x\\y", Child::Elsewhere),
        ("/", Child::Elsewhere),
        ("/x", Child::Elsewhere),
        ("/a%20b/dx/y", Child::Elsewhere),
        (".", Child::Elsewhere),
        ("./", Child::Elsewhere),
        ("", Child::Elsewhere),
        ("//evil/a%20b/d/x", Child::Elsewhere),
        ("http://h:8080/a%20b/d/x", Child::Elsewhere),
        ("https://h/a%20b/d/x", Child::Elsewhere),
        ("https://u:p@h:8080/a%20b/d/x", Child::Elsewhere),
        ("?C=N;O=D", Child::Elsewhere),
        ("x?C=N", Child::Elsewhere),
        ("#top", Child::Elsewhere),
        ("x#top", Child::Elsewhere),
        ("javascript:alert(1)", Child::Elsewhere),
        ("data:text/html,x", Child::Elsewhere),
        ("mailto:a@b", Child::Elsewhere),
        ("file:///etc/passwd", Child::Elsewhere),
    ] {
        assert_eq!(child(&here, href), expected, "{href}");
    }
    let long = "x".repeat(256);
    assert_eq!(child(&here, &long), Child::Impossible(long.clone()));
    assert_eq!(child(&here, &long[1..]), name(&long[1..]));
}

#[test]
fn pages_of_links_are_listings_and_other_pages_are_not() {
    // Go's file server: nothing but links.
    let go = "<pre>\n<a href=\"a%26b\">a&amp;b</a>\n<a href=\"sub/\">sub/</a>\n</pre>\n";
    assert_eq!(
        names(&page("text/html; charset=utf-8", go).unwrap()),
        ["a&b", "sub/"]
    );
    assert_eq!(page("text/html", "<pre>\n</pre>\n").unwrap(), Listing::default());
    // Links over icons, absolute paths, texts that are cut.
    let fine = "<!DOCTYPE html><body><table><A class=i HREF='/d/x.bin'><img src=i.png></A> <a href=/d/x.bin><b>x.bin</b></a>
        <a href='/d/a-long-name'>a-lo...</a> <a href='/elsewhere'>elsewhere</a><!-- <a href=no>no</a> --></table></body>";
    assert_eq!(names(&page("text/html", fine).unwrap()), ["a-long-name", "x.bin"]);
    for other in [
        "<html><body><h1>Welcome</h1><a href=\"about.html\">About us</a> <a href=\"/\">Home</a></body></html>",
        "<html><title>Index of fears</title><a href='fear'>One</a></html>",
        "<html><body>Nothing here.</body></html>",
        "<html><body></body></html>",
        "",
        "plain text",
    ] {
        assert_eq!(page("text/html", other), Err(NoListing::OtherPage), "{other}");
    }
    for kind in [
        "text/plain",
        "application/octet-stream",
        "image/png",
        "text/html-not",
    ] {
        assert_eq!(page(kind, go), Err(NoListing::Type(kind.to_owned())));
    }
}

#[test]
fn more_names_than_the_cap_are_refused() {
    let mut text = "[".to_owned();
    text.push_str(&"{\"name\":\"x\"},".repeat(MAX_WEB_ENTRIES));
    let enough = format!("{}]", text.trim_end_matches(','));
    assert_eq!(names(&page("application/json", &enough).unwrap()), ["x"]);
    text.push_str("{\"name\":\"x\"}]");
    assert_eq!(page("application/json", &text), Err(NoListing::TooMany));
}

#[test]
fn a_name_is_listed_once() {
    let twice =
        "<title>Index of /d</title><a href=b>b</a><a href=a>a</a><a href='./b'>icon</a><a href=b/>b/</a>";
    assert_eq!(names(&page("text/html", twice).unwrap()), ["a", "b", "b/"]);
}

#[test]
fn order_is_that_of_keys() {
    let page = page(
        "text/html",
        "<title>Index of /</title><a href=a/>a</a><a href=a.txt>x</a><a href=a0>y</a>",
    );
    assert_eq!(names(&page.unwrap()), ["a.txt", "a/", "a0"]);
}

#[test]
fn character_references() {
    for (text, plain) in [
        ("a&amp;b", "a&b"),
        ("&lt;&gt;&quot;&apos;&#39;&#x27;&#X41;", "<>\"'''A"),
        ("&amp;amp;", "&amp;"),
        ("a&copy=1&b;&", "a&copy=1&b;&"),
        ("&#xD800;&#99999999;&#;&;", "&#xD800;&#99999999;&#;&;"),
        ("\u{65e5}&\u{672c};", "\u{65e5}&\u{672c};"),
    ] {
        assert_eq!(unescape(text), plain, "{text}");
    }
}

#[test]
fn a_page_made_to_be_slow_is_not() {
    // Each would take hours if a search went on from where the last one failed.
    for piece in [
        "<a ",
        "<a href=",
        "<a href='",
        "<!--",
        "<",
        "<script>",
        "</",
        "&#",
        "<a x=\"<a y='",
        "<title>",
    ] {
        let text = piece.repeat((4 << 20) / piece.len());
        let _ = page("text/html", &text);
    }
}

/// Pages that are nearly listings.
fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<a href=\"".to_owned()),
        Just("\">".to_owned()),
        Just("</a>".to_owned()),
        Just("<title>Index of /</title>".to_owned()),
        Just("../".to_owned()),
        Just("%2e".to_owned()),
        Just("%2f".to_owned()),
        Just("&amp;".to_owned()),
        Just("[{\"name\":\"".to_owned()),
        Just("\"},".to_owned()),
        "[ -~]{0,8}",
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn stays_inside(kind: &str, bytes: &[u8]) {
    let here = base("http://h/d/");
    for whole in [true, false] {
        let head = Head {
            content_type: Some(kind),
            whole,
        };
        let Ok(listing) = read(&here, head, bytes) else {
            continue;
        };
        for entry in listing.entries {
            let name = entry.name.as_str();
            assert!(!name.is_empty() && name.len() <= 255 && name != "." && name != "..");
            assert!(!name.contains(['/', '\0', '\n']));
            let key = Path::parse(format!("d/{name}")).unwrap();
            let url = super::super::address::Address::new(here.clone())
                .of(&key)
                .unwrap();
            assert!(url.path().starts_with("/d/") && url.path()[3..].find('/').is_none());
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_give_names_in_the_directory_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        stays_inside("text/html", &bytes);
        stays_inside("application/json", &bytes);
    }

    #[test]
    fn any_markup_gives_names_in_the_directory_or_none(text in markup()) {
        stays_inside("text/html", text.as_bytes());
        stays_inside("application/json", text.as_bytes());
    }

    #[test]
    fn any_name_comes_back_from_its_url(name in "[^/\\x00-\\x1f\\x7f]{1,40}") {
        prop_assume!(name != "." && name != "..");
        let here = base("http://h/d/");
        let key = Path::parse(format!("d/{name}")).unwrap();
        let url = super::super::address::Address::new(here.clone()).of(&key).unwrap();
        prop_assert_eq!(child(&here, url.as_str()), Child::Name(name, false));
    }
}
