//! Each codec on its own, with what no producer of ours writes: other framings, lies, and noise.

use std::io::{Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use crate::batch::compress::compress;

use super::*;

const CAP: usize = 1 << 20;

fn caps(decompressed_bytes: usize) -> Caps {
    Caps {
        decompressed_bytes,
        ..Caps::default()
    }
}

#[track_caller]
fn assert_broken(codec: Codec, stored: &[u8], why: &str) {
    match decompress(codec, stored, &caps(CAP)) {
        Err(Fault::Broken(found)) if found.contains(why) => {}
        other => panic!("{codec}: {other:?} instead of {why:?}"),
    }
}

/// Text with something new in it all the time, `len` bytes.
fn text(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(11);
    let mut text = Vec::new();
    while text.len() < len {
        write!(text, "record {} of the log; ", rng.u16(..)).unwrap();
    }
    text.truncate(len);
    text
}

fn lz4(info: FrameInfo, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn lz4_frames_of_every_form_are_read() {
    let text = text(700_000);
    for size in [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for sums in [false, true] {
                for len in [0, 1, 1000, 65_536, 65_537, 700_000] {
                    let text = &text[..len];
                    let info = FrameInfo::new()
                        .block_size(size)
                        .block_mode(mode)
                        .block_checksums(sums)
                        .content_checksum(sums)
                        .content_size(sums.then_some(len as u64));
                    let stored = lz4(info, text);
                    let read = decompress(Codec::Lz4, &stored, &caps(len)).unwrap();
                    assert!(read == text, "{size:?} {mode:?} {sums} {len}");
                    if len > 0 {
                        assert_eq!(decompress(Codec::Lz4, &stored, &caps(len - 1)), Err(Fault::Bomb));
                    }
                    for cut in [1, 4, 5, stored.len() / 2, stored.len()] {
                        assert!(decompress(Codec::Lz4, &stored[..stored.len() - cut], &caps(CAP)).is_err());
                    }
                }
            }
        }
    }
}

#[test]
fn lz4_frames_that_lie_are_refused() {
    let sums = FrameInfo::new()
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(1000));
    let good = lz4(sums, &text(1000));
    let with = |at: usize, byte: u8| {
        let mut stored = good.clone();
        stored[at] ^= byte;
        stored
    };
    let last = good.len() - 1;
    assert_broken(Codec::Lz4, &with(0, 1), "no LZ4 frame");
    assert_broken(Codec::Lz4, &with(4, 0x80), "unknown version");
    assert_broken(Codec::Lz4, &with(4, 1), "dictionary");
    assert_broken(Codec::Lz4, &with(5, 0x40), "size of its blocks");
    assert_broken(Codec::Lz4, &with(14, 1), "checksum of its header");
    assert_broken(Codec::Lz4, &with(17, 2), "longer than its frame says");
    assert_broken(Codec::Lz4, &with(25, 1), "checksum of a block");
    assert_broken(Codec::Lz4, &with(last, 1), "checksum of its content");
    assert_broken(Codec::Lz4, &[&good[..], &[0]].concat(), "bytes follow");
    assert_broken(Codec::Lz4, b"", "cut short");
    // A size that its blocks cannot have is not allocated for.
    let mut lie = FrameInfo::new().content_size(Some(0));
    lie.content_size = Some(500_000);
    let mut stored = lz4(FrameInfo::new().content_size(Some(10)), &[7; 10]);
    let head = lz4_head(lie.content_size.unwrap());
    stored[..head.len()].copy_from_slice(&head);
    assert_broken(Codec::Lz4, &stored, "more than it can");
    let head = lz4_head(9);
    stored[..head.len()].copy_from_slice(&head);
    assert_broken(Codec::Lz4, &stored, "more than it says");
    let head = lz4_head(11);
    stored[..head.len()].copy_from_slice(&head);
    assert!(decompress(Codec::Lz4, &stored, &caps(CAP)).is_err());
}

/// A frame's header with independent blocks of 64 KiB and the size of its content.
fn lz4_head(content: u64) -> Vec<u8> {
    let mut head = lz4::MAGIC.to_le_bytes().to_vec();
    head.extend([0x68, 0x40]);
    head.extend(content.to_le_bytes());
    head.push((twox_hash::XxHash32::oneshot(0, &head[4..]) >> 8) as u8);
    head
}

#[test]
fn snappy_is_read_bare_and_in_blocks() {
    let text = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
    assert!(decompress(Codec::Snappy, &raw, &caps(CAP)).unwrap() == text);
    assert_eq!(decompress(Codec::Snappy, &raw, &caps(99_999)), Err(Fault::Bomb));
    // Versions are of no account: some producers write them little endian.
    for versions in [[0, 0, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0, 0]] {
        for size in [100, 32 * 1024, 99_999, 100_000] {
            let mut stored = [&snappy::MAGIC[..], &versions].concat();
            for chunk in text.chunks(size) {
                let block = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
                stored.extend((block.len() as u32).to_be_bytes());
                stored.extend(block);
            }
            assert!(decompress(Codec::Snappy, &stored, &caps(100_000)).unwrap() == text);
            assert_eq!(
                decompress(Codec::Snappy, &stored, &caps(99_999)),
                Err(Fault::Bomb)
            );
            assert!(decompress(Codec::Snappy, &stored[..stored.len() - 1], &caps(CAP)).is_err());
        }
    }
    let head = [&snappy::MAGIC[..], &[0; 8]].concat();
    assert_eq!(decompress(Codec::Snappy, &head, &caps(CAP)), Ok(vec![]));
    assert_broken(Codec::Snappy, &head[..15], "cut short");
    assert_broken(Codec::Snappy, &[&head[..], &[0x80, 0, 0, 0]].concat(), "negative");
    // 16 MiB from six bytes, and from a block of one.
    assert_broken(Codec::Snappy, &[0x80, 0x80, 0x80, 8, 0, 0], "more than it can");
    assert_broken(
        Codec::Snappy,
        &[&head[..], &[0, 0, 0, 4, 0x80, 0x80, 0x80, 8]].concat(),
        "more than it can",
    );
}

#[test]
fn gzip_of_many_members_is_read_and_its_end_believed_only_as_far_as_it_can_be() {
    let text = text(50_000);
    let one = gzip(&text[..20_000]);
    let stored = [&one[..], &gzip(&text[20_000..])].concat();
    assert!(decompress(Codec::Gzip, &stored, &caps(50_000)).unwrap() == text);
    assert_eq!(decompress(Codec::Gzip, &stored, &caps(49_999)), Err(Fault::Bomb));
    for told in [0_u32, 1, 19_999, 20_001, u32::MAX] {
        let mut lie = one.clone();
        let end = lie.len() - 4;
        lie[end..].copy_from_slice(&told.to_le_bytes());
        assert!(matches!(
            decompress(Codec::Gzip, &lie, &caps(CAP)),
            Err(Fault::Broken(_))
        ));
    }
    assert!(decompress(Codec::Gzip, &[&one[..], b"x"].concat(), &caps(CAP)).is_err());
    assert!(decompress(Codec::Gzip, &one[..one.len() - 1], &caps(CAP)).is_err());
    assert!(decompress(Codec::Gzip, b"no gzip", &caps(CAP)).is_err());
}

fn zstd_streamed(bytes: &[u8], window_log: u32, checksum: bool) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.include_checksum(checksum).unwrap();
    for piece in bytes.chunks(30_000) {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn zstd_is_read_whole_streamed_and_in_many_frames() {
    let text = text(400_000);
    let whole = ::zstd::bulk::compress(&text, 3).unwrap();
    let skipped = [&0x184D_2A53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
    let pieces = [
        &::zstd::bulk::compress(&text[..200], 1).unwrap()[..],
        &skipped,
        &zstd_streamed(&text[200..300_000], 17, true),
        &::zstd::bulk::compress(&text[300_000..], 19).unwrap(),
    ]
    .concat();
    for stored in [
        &whole,
        &zstd_streamed(&text, 20, true),
        &zstd_streamed(&text, 10, false),
        &pieces,
    ] {
        assert!(decompress(Codec::Zstd, stored, &caps(400_000)).unwrap() == text);
        assert_eq!(decompress(Codec::Zstd, stored, &caps(399_999)), Err(Fault::Bomb));
        for cut in [1, 3, stored.len() / 2] {
            assert!(decompress(Codec::Zstd, &stored[..stored.len() - cut], &caps(CAP)).is_err());
        }
    }
    // No size told, and a window of which every byte could be a block: the room is what came out.
    let read = decompress(Codec::Zstd, &zstd_streamed(&text, 20, false), &caps(CAP)).unwrap();
    assert!(read.capacity() < 500_000, "{}", read.capacity());
}

#[test]
fn zstd_frames_that_ask_for_too_much_are_refused() {
    let stored = zstd_streamed(&text(100_000), 21, false);
    let mut caps = caps(CAP);
    caps.zstd_window_log = 20;
    assert_eq!(
        decompress(Codec::Zstd, &stored, &caps),
        Err(Fault::new("its window is 2097152 bytes, and 2^20 are allowed"))
    );
    caps.zstd_window_log = 21;
    assert!(decompress(Codec::Zstd, &stored, &caps).is_ok());
    // The largest window that can be written down, and one eighth more than allowed.
    assert_broken(
        Codec::Zstd,
        &[0x28, 0xB5, 0x2F, 0xFD, 0, 0xFF, 1, 0, 0],
        "its window",
    );
    assert_broken(
        Codec::Zstd,
        &[0x28, 0xB5, 0x2F, 0xFD, 0, (17 << 3) | 1, 1, 0, 0],
        "its window",
    );
    // A content size of 2^64 - 1 with an empty block, and 900 KB likewise.
    let huge = [&[0x28, 0xB5, 0x2F, 0xFD, 0xE0][..], &[0xFF; 8], &[1, 0, 0]].concat();
    assert_broken(Codec::Zstd, &huge, "more than it can");
    let large = [
        &[0x28, 0xB5, 0x2F, 0xFD, 0xA0][..],
        &900_000_u32.to_le_bytes(),
        &[1, 0, 0],
    ]
    .concat();
    assert_broken(Codec::Zstd, &large, "more than it can");
    assert_broken(
        Codec::Zstd,
        &[0x28, 0xB5, 0x2F, 0xFD, 0x21, 1, 1, 1, 0, 0],
        "dictionary",
    );
    assert_broken(
        Codec::Zstd,
        &[0x28, 0xB5, 0x2F, 0xFD, 0, 0, 7, 0, 0],
        "unknown type",
    );
    assert_broken(Codec::Zstd, b"no zstd frame", "no zstd frame");
    // 128 KiB of one byte in each block of four.
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 10 << 3];
    for _ in 0..1000 {
        bomb.extend([2, 0, 0x10, 0]);
    }
    bomb.extend([1, 0, 0]);
    assert_eq!(decompress(Codec::Zstd, &bomb, &caps_of_a_mib()), Err(Fault::Bomb));
}

fn caps_of_a_mib() -> Caps {
    caps(CAP)
}

#[test]
fn what_we_write_the_libraries_own_readers_read() {
    let text = text(200_000);
    let mut out = vec![0; text.len()];
    let mut read = |codec| {
        let len = compress(codec, &text, &mut out).unwrap().unwrap();
        let stored = &out[..len];
        let mut read = Vec::new();
        match codec {
            Codec::None => read.extend(stored),
            Codec::Gzip => {
                flate2::read::GzDecoder::new(stored)
                    .read_to_end(&mut read)
                    .unwrap();
            }
            Codec::Snappy => {
                let mut rest = &stored[16..];
                while let Some((len, tail)) = rest.split_first_chunk() {
                    let (block, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
                    read.extend(snap::raw::Decoder::new().decompress_vec(block).unwrap());
                    rest = tail;
                }
            }
            Codec::Lz4 => {
                FrameDecoder::new(stored).read_to_end(&mut read).unwrap();
            }
            Codec::Zstd => ::zstd::stream::copy_decode(stored, &mut read).unwrap(),
        }
        read
    };
    for codec in Codec::ALL {
        assert!(read(codec) == text, "{codec}");
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let text = text(100_000);
    for codec in Codec::ALL {
        let mut out = vec![0; text.len()];
        let len = compress(codec, &text, &mut out).unwrap().unwrap();
        for room in [0, 5, 20, len / 2, len - 1] {
            assert_eq!(
                compress(codec, &text, &mut out[..room]),
                Ok(None),
                "{codec} in {room} of {len}"
            );
        }
        // And the next one is none the worse for it.
        assert_eq!(compress(codec, &text, &mut out), Ok(Some(len)));
    }
}

proptest! {
    #[test]
    fn damage_does_no_harm(
        form in 0_usize..7,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let text = text(70_000);
        let (codec, mut stored) = match form {
            0 => (Codec::Gzip, gzip(&text)),
            1 => (Codec::Snappy, snap::raw::Encoder::new().compress_vec(&text).unwrap()),
            2 => (Codec::Lz4, lz4(FrameInfo::new(), &text)),
            3 => (Codec::Lz4, lz4(FrameInfo::new().block_mode(BlockMode::Linked), &text)),
            4 => (Codec::Zstd, zstd_streamed(&text, 17, false)),
            5 => (Codec::Zstd, ::zstd::bulk::compress(&text, 3).unwrap()),
            _ => {
                let block = snap::raw::Encoder::new().compress_vec(&text).unwrap();
                let len = (block.len() as u32).to_be_bytes();
                (Codec::Snappy, [&snappy::MAGIC[..], &[0; 8], &len, &block].concat())
            }
        };
        for (at, byte) in flips {
            let at = at.index(stored.len());
            stored[at] ^= byte;
        }
        if let Ok(read) = decompress(codec, &stored, &caps(CAP)) {
            prop_assert!(read.len() <= CAP);
        }
    }
}
