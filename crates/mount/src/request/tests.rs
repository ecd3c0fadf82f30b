use proptest::prelude::*;

use super::*;
use crate::wire::{Out, Time};

fn request(code: u32, body: &[u8]) -> Vec<u8> {
    let len = (IN_HEADER + body.len()) as u32;
    let header = Out::default().u32(len).u32(code).u64(42).u64(7);
    header.u32(1000).u32(100).zeros(8).bytes(body).0
}

fn change(code: u32, body: &Out) -> String {
    let bytes = request(code, &body.0);
    let parsed = Request::parse(&bytes).unwrap();
    let Op::Change(change) = parsed.op else {
        panic!("{:?}", parsed.op)
    };
    // Nothing of it is padding: cut by a byte it is not what it was.
    let cut = request(code, &body.0[..body.0.len() - 1]);
    assert!(Request::parse(&cut).is_err(), "{change:?}");
    format!("{change:?}")
}

#[test]
fn requests_are_read() {
    let lookup = request(opcode::LOOKUP, b"file\0");
    let parsed = Request::parse(&lookup).unwrap();
    assert_eq!((parsed.unique, parsed.node), (42, 7));
    assert_eq!(parsed.caller, Caller { uid: 1000, gid: 100 });
    assert_eq!(
        parsed.op,
        Op::Lookup {
            name: OsStr::new("file")
        }
    );
    let body = Out::default().u64(3).u64(4096).u32(128).zeros(20).0;
    let read = request(opcode::READ, &body);
    let read = Request::parse(&read).unwrap().op;
    assert_eq!(
        read,
        Op::Read {
            handle: 3,
            offset: 4096,
            size: 128
        }
    );
    assert_eq!(Request::parse(&request(999, &[])).unwrap().op, Op::Unknown);
}

#[test]
fn the_data_of_a_write_is_where_it_was_received() {
    let body = Out::default()
        .u64(3)
        .u64(4096)
        .u32(5)
        .u32(1 | 4)
        .zeros(16)
        .bytes(b"bytes");
    // `struct fuse_write_in` has 40 bytes.
    assert_eq!(body.0.len(), 45);
    let bytes = request(opcode::WRITE, &body.0);
    let Op::Change(Change::Write(write)) = Request::parse(&bytes).unwrap().op else {
        panic!("not a write");
    };
    assert_eq!(
        (write.handle, write.offset, write.whole, write.kill_privileges),
        (3, 4096, true, true)
    );
    assert_eq!(write.data, b"bytes");
    assert!(std::ptr::eq(write.data, &raw const bytes[IN_HEADER + 40..]));
    // It says that it has more than it has.
    let more = Out::default()
        .u64(3)
        .u64(4096)
        .u32(6)
        .u32(4)
        .zeros(16)
        .bytes(b"bytes");
    assert!(Request::parse(&request(opcode::WRITE, &more.0)).is_err());
}

#[test]
fn attributes_are_set_that_are_said_to_be() {
    let body = |valid: u32| {
        let out = Out::default().u32(valid).u32(0).u64(9).u64(1000).u64(0);
        let out = out.u64(-5i64 as u64).u64(6).u64(0).u32(7).u32(8).u32(0);
        out.u32(0o100_644).u32(0).u32(10).u32(20).u32(0)
    };
    // `struct fuse_setattr_in`.
    assert_eq!(body(0).0.len(), 88);
    let read = |valid: u32| {
        let bytes = request(opcode::SETATTR, &body(valid).0);
        match Request::parse(&bytes).unwrap().op {
            Op::Change(Change::SetAttr(set)) => set,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(0), SetAttr::default());
    let all = read(0b1000_0111_1111);
    let at = |seconds, nanos| Some(SetTime::At(Time { seconds, nanos }));
    assert_eq!(
        all,
        SetAttr {
            handle: Some(9),
            mode: Some(0o100_644),
            uid: Some(10),
            gid: Some(20),
            size: Some(1000),
            accessed: at(-5, 7),
            modified: at(6, 8),
            kill_privileges: true,
        }
    );
    let now = read(0b1_1011_0000);
    assert_eq!(
        (now.accessed, now.modified),
        (Some(SetTime::Now), Some(SetTime::Now))
    );
}

#[test]
fn changes_are_read_to_their_last_byte() {
    let names = |out: Out| out.bytes(b"one\0two\0");
    let name = |out: Out| out.bytes(b"one\0");
    let new = Out::default;
    for (code, body, words) in [
        (
            opcode::SYMLINK,
            names(new()),
            "Symlink { name: \"one\", target: \"two\" }",
        ),
        (
            opcode::MKNOD,
            name(new().u32(1).u32(2).zeros(8)),
            "MkNod { name: \"one\", mode: 1, device: 2 }",
        ),
        (
            opcode::MKDIR,
            name(new().u32(1).u32(2)),
            "MkDir { name: \"one\", mode: 1 }",
        ),
        (opcode::UNLINK, name(new()), "Unlink { name: \"one\" }"),
        (opcode::RMDIR, name(new()), "RmDir { name: \"one\" }"),
        (
            opcode::RENAME,
            names(new().u64(3)),
            "Rename { name: \"one\", new_parent: 3, new_name: \"two\", flags: 0 }",
        ),
        (
            opcode::RENAME2,
            names(new().u64(3).u32(2).u32(0)),
            "Rename { name: \"one\", new_parent: 3, new_name: \"two\", flags: 2 }",
        ),
        (
            opcode::LINK,
            name(new().u64(3)),
            "Link { target: 3, name: \"one\" }",
        ),
        (
            opcode::CREATE,
            name(new().u32(1).u32(2).u32(0).u32(1)),
            "Create { name: \"one\", created: Created { flags: 1, mode: 2, kill_privileges: true } }",
        ),
        (
            opcode::TMPFILE,
            new().u32(1).u32(2).u32(0).u32(0),
            "TmpFile { created: Created { flags: 1, mode: 2, kill_privileges: false } }",
        ),
        (
            opcode::FALLOCATE,
            new().u64(1).u64(2).u64(3).u32(4),
            "Allocate { handle: 1, offset: 2, len: 3, mode: 4 }",
        ),
        (
            opcode::COPY_FILE_RANGE,
            new().u64(1).u64(2).u64(0).u64(3).u64(4).u64(5),
            "Copy { from: 1, from_offset: 2, to: 3, to_offset: 4, len: 5, wide: false }",
        ),
        (
            opcode::SETXATTR,
            name(new().u32(2).u32(1)).bytes(b"ab"),
            "SetXattr { name: \"one\", value: [97, 98], flags: 1 }",
        ),
        (opcode::REMOVEXATTR, name(new()), "RemoveXattr { name: \"one\" }"),
    ] {
        assert_eq!(change(code, &body), words);
    }
}

#[test]
fn what_is_cut_short_is_refused() {
    for bytes in [&[][..], &[0; 39], &request(opcode::READ, &[0; 8])] {
        assert!(Request::parse(bytes).is_err());
    }
    // It says that it is longer than it is.
    let mut longer = request(opcode::GETATTR, &[]);
    longer[0] = 200;
    assert!(Request::parse(&longer).is_err());
}

#[test]
fn who_waits_for_what_cannot_be_read_gets_an_answer() {
    assert_eq!(Request::number(&request(opcode::READ, &[])), Some(42));
    assert_eq!(Request::number(&request(opcode::FORGET, &[])), None);
    assert_eq!(Request::number(&[0; 39]), None);
}

proptest! {
    /// Whatever comes is read or refused.
    #[test]
    fn any_bytes_are_a_request_or_none(
        code in 0..60u32,
        body in prop::collection::vec(any::<u8>(), 0..200),
        said in prop::option::of(any::<u32>()),
    ) {
        let mut bytes = request(code, &body);
        if let Some(said) = said {
            bytes[..4].copy_from_slice(&said.to_ne_bytes());
        }
        if let Ok(request) = Request::parse(&bytes) {
            prop_assert_eq!(request.unique, 42);
        }
    }
}
