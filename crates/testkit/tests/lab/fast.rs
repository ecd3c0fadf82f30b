//! The fast face without faults.

use forebay_testkit::{Attributes, Content, Lab, ListEntry, ListQuery, Objects};

use crate::client::Client;

#[test]
fn ranges_are_answered_as_http_says() {
    let lab = Lab::builder().start().unwrap();
    let content = Content::pattern(1, 1000);
    lab.objects().put("b", "k", content.clone());
    let mut client = Client::connect(lab.addr());
    for (range, expected) in [
        ("0-9", Some((0, 9))),
        ("990-2000", Some((990, 999))),
        ("500-", Some((500, 999))),
        ("-10", Some((990, 999))),
        ("-5000", Some((0, 999))),
        ("1000-", None),
        ("1000-1010", None),
    ] {
        let answer = client.range("/b/k", range);
        match expected {
            Some((first, last)) => {
                assert_eq!(answer.status, 206, "{range}");
                let expected = format!("bytes {first}-{last}/1000");
                assert_eq!(answer.header("content-range"), Some(expected.as_str()), "{range}");
                assert_eq!(answer.body.len() as u64, last - first + 1, "{range}");
                content.check(first, &answer.body).unwrap();
            }
            None => {
                assert_eq!(answer.status, 416, "{range}");
                assert_eq!(answer.header("content-range"), Some("bytes */1000"), "{range}");
            }
        }
    }
    for whole in ["0-1,5-6", "x", "9-3"] {
        let answer = client.range("/b/k", whole);
        assert_eq!((answer.status, answer.body.len()), (200, 1000), "{whole}");
    }
}

#[test]
fn an_empty_object_and_a_missing_one() {
    let lab = Lab::builder().bucket("b").start().unwrap();
    lab.objects().put("b", "empty", "");
    let mut client = Client::connect(lab.addr());
    let answer = client.get("/b/empty", &[]);
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")));
    assert_eq!(client.range("/b/empty", "0-0").status, 416);
    let answer = client.get("/b/missing", &[]);
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("<Code>NoSuchKey</Code>"));
    assert!(
        client
            .get("/other/k", &[])
            .text()
            .contains("<Code>NoSuchBucket</Code>")
    );
    assert_eq!(client.send("HEAD", "/b/missing", &[], b"").status, 404);
    lab.objects().deny_bucket("b", true);
    let answer = client.get("/b/empty", &[]);
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("<Code>AccessDenied</Code>"));
}

#[test]
fn head_tells_what_get_would() {
    let lab = Lab::builder().start().unwrap();
    let attributes = Attributes {
        content_type: Some("text/plain".into()),
        metadata: [("color".to_owned(), "blue".to_owned())].into(),
        ..Attributes::default()
    };
    let etag = lab
        .objects()
        .put_with("b", "k", Content::pattern(1, 12345), attributes);
    let mut client = Client::connect(lab.addr());
    let head = client.send("HEAD", "/b/k", &[], b"");
    let mut get = client.get("/b/k", &[]);
    get.headers.remove("date");
    let mut headers = head.headers.clone();
    headers.remove("date");
    assert_eq!(headers, get.headers);
    assert_eq!(head.header("etag"), Some(etag.as_str()));
    assert_eq!(head.header("content-length"), Some("12345"));
    assert_eq!(head.header("content-type"), Some("text/plain"));
    assert_eq!(head.header("x-amz-meta-color"), Some("blue"));
}

#[test]
fn what_is_put_comes_back() {
    let lab = Lab::builder().bucket("b").start().unwrap();
    let mut client = Client::connect(lab.addr());
    let key = "/b/dir/na%C3%AFve%20%2B%26%3C%3E.bin";
    let put = client.send(
        "PUT",
        key,
        &[("Content-Type", "image/png"), ("x-amz-meta-a", "1")],
        b"hello",
    );
    assert_eq!(put.status, 200);
    let get = client.get(key, &[]);
    assert_eq!((get.text(), get.header("etag")), ("hello", put.header("etag")));
    assert_eq!(
        (get.header("content-type"), get.header("x-amz-meta-a")),
        (Some("image/png"), Some("1"))
    );
    assert!(lab.objects().get("b", "dir/naïve +&<>.bin").is_some());

    let source = key.replacen('/', "", 1);
    let copy = client.send("PUT", "/b/copy", &[("x-amz-copy-source", &source)], b"");
    assert!(
        copy.text().contains("<CopyObjectResult><ETag>&quot;"),
        "{}",
        copy.text()
    );
    assert_eq!(
        client.get("/b/copy", &[]).header("content-type"),
        Some("image/png")
    );

    assert_eq!(client.send("DELETE", key, &[], b"").status, 204);
    assert_eq!(client.send("DELETE", key, &[], b"").status, 204);
    assert_eq!(client.get(key, &[]).status, 404);
    let bulk = b"<Delete><Object><Key>copy</Key></Object><Object><Key>no</Key></Object></Delete>";
    let bulk = client.send("POST", "/b?delete", &[], bulk);
    assert_eq!(bulk.text().matches("<Deleted>").count(), 2);
    assert!(lab.objects().get("b", "copy").is_none());
    assert_eq!(client.send("PUT", "/nowhere/k", &[], b"x").status, 404);
}

#[test]
fn parts_become_one_object() {
    let lab = Lab::builder().bucket("b").start().unwrap();
    let mut client = Client::connect(lab.addr());
    let begun = client.send("POST", "/b/big?uploads", &[("Content-Type", "a/b")], b"");
    let id = begun
        .text()
        .split("<UploadId>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    let whole = Content::pattern(3, 300_000);
    let mut list = String::from("<CompleteMultipartUpload>");
    for number in [2, 1, 3] {
        let range = forebay_types::ByteRange::at((number - 1) * 100_000, 100_000);
        let path = format!("/b/big?partNumber={number}&uploadId={id}");
        let part = client.send("PUT", &path, &[], &whole.read(range));
        let etag = part.header("etag").unwrap().to_owned();
        list = match number {
            1 => list.replace(
                "Upload>",
                &format!("Upload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"),
            ),
            _ => list + &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"),
        };
    }
    list += "</CompleteMultipartUpload>";
    let complete = format!("/b/big?uploadId={id}");
    let wrong = client.send(
        "POST",
        &complete,
        &[],
        list.replacen("-1\"", "-9\"", 1).as_bytes(),
    );
    assert!(wrong.text().contains("<Code>InvalidPart</Code>"));
    let done = client.send("POST", &complete, &[("If-None-Match", "*")], list.as_bytes());
    assert_eq!(done.status, 200, "{}", done.text());
    let get = client.get("/b/big", &[]);
    assert_eq!(
        (get.body.len(), get.header("content-type")),
        (300_000, Some("a/b"))
    );
    whole.check(0, &get.body).unwrap();
    assert!(
        client
            .send("DELETE", &complete, &[], b"")
            .text()
            .contains("<Code>NoSuchUpload</Code>")
    );
}

#[test]
fn pages_of_a_listing_join_to_the_whole() {
    let lab = Lab::builder().start().unwrap();
    let keys = ["a", "b/1", "b/2", "b/c/3", "b<&>", "c/1", "d", "日本/x"];
    for key in keys {
        lab.objects().put("bucket", key, "x");
    }
    let mut client = Client::connect(lab.addr());
    let mut list = |query: &str| {
        let answer = client.get(&format!("/bucket?list-type=2{query}"), &[]);
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    };
    for max in 1..=9 {
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let page = list(&format!("&max-keys={max}{token}"));
            found.extend(texts(&page, "Key"));
            match texts(&page, "NextContinuationToken").pop() {
                Some(next) => token = format!("&continuation-token={next}"),
                None => break,
            }
        }
        assert_eq!(
            found,
            ["a", "b/1", "b/2", "b/c/3", "b&lt;&amp;&gt;", "c/1", "d", "日本/x"],
            "{max} a page"
        );
    }
    let page = list("&delimiter=%2F");
    assert_eq!(texts(&page, "Key"), ["a", "b&lt;&amp;&gt;", "d"]);
    assert_eq!(
        texts(&page, "CommonPrefixes"),
        [
            "<Prefix>b/</Prefix>",
            "<Prefix>c/</Prefix>",
            "<Prefix>日本/</Prefix>"
        ]
    );
    let page = list("&delimiter=%2F&prefix=b%2F");
    assert_eq!(
        (texts(&page, "Key").len(), texts(&page, "CommonPrefixes").len()),
        (2, 1)
    );
    assert_eq!(texts(&list("&start-after=c%2F1"), "Key"), ["d", "日本/x"]);
    assert_eq!(texts(&list("&prefix=d&encoding-type=url"), "Key"), ["d"]);
    assert!(list("&prefix=zz").contains("<KeyCount>0</KeyCount>"));
}

#[test]
fn rolled_up_pages_are_not_repeated() {
    let objects = Objects::new();
    for key in ["a/1", "a/2", "b/1", "c", "d/1"] {
        objects.put("b", key, "x");
    }
    let mut query = ListQuery {
        delimiter: Some("/".into()),
        max: 1,
        ..ListQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let page = objects.list("b", &query).unwrap();
        found.extend(
            page.prefixes
                .iter()
                .cloned()
                .chain(page.objects.iter().map(|(key, _)| key.clone())),
        );
        match page.next {
            Some(next) => query.after_entry = Some(next),
            None => break,
        }
    }
    assert_eq!(found, ["a/", "b/", "c", "d/"]);
    let after = ListQuery {
        after_entry: Some(ListEntry::Prefix("b/".into())),
        ..query
    };
    assert_eq!(objects.list("b", &after).unwrap().objects[0].0, "c");
}

fn texts(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let after = document.split(&open).skip(1);
    after
        .map(|rest| rest.split(&close).next().unwrap().to_owned())
        .collect()
}
