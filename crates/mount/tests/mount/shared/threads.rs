//! Many programs in a mount at once.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};

use super::Place;
use crate::world::noise;

const THREADS: u64 = 8;
const ROUNDS: u64 = 150;

/// Numbers that are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Does things in a directory of its own, whose outcome is known, and in one that all have, whose is not.
fn work(place: &impl Place, thread: u64) {
    let own = format!("own-{thread}");
    fs::create_dir(place.at(&own)).unwrap();
    let mut numbers = Numbers(thread);
    let mut model: [Option<Vec<u8>>; 6] = Default::default();
    for round in 0..ROUNDS {
        let which = numbers.below(6);
        let slot = which as usize;
        let path = place.at(&format!("{own}/{which}"));
        match numbers.below(7) {
            0 => {
                let bytes = noise(round, numbers.below(300_000));
                fs::write(&path, &bytes).unwrap();
                model[slot] = Some(bytes);
            }
            1 => {
                if let Some(bytes) = &mut model[slot] {
                    let (at, new) = (numbers.below(200_000), noise(round, 5000));
                    let file = OpenOptions::new().write(true).open(&path).unwrap();
                    file.write_all_at(&new, at).unwrap();
                    let end = at as usize + new.len();
                    bytes.resize(bytes.len().max(end), 0);
                    bytes[at as usize..end].copy_from_slice(&new);
                }
            }
            2 => {
                if let Some(bytes) = &mut model[slot] {
                    let len = numbers.below(100_000);
                    let file = OpenOptions::new().write(true).open(&path).unwrap();
                    file.set_len(len).unwrap();
                    bytes.resize(len as usize, 0);
                }
            }
            3 => {
                let other = numbers.below(6);
                if model[slot].is_some() && other != which {
                    fs::rename(&path, place.at(&format!("{own}/{other}"))).unwrap();
                    model[other as usize] = model[slot].take();
                }
            }
            4 => {
                if model[slot].take().is_some() {
                    fs::remove_file(&path).unwrap();
                }
            }
            5 => {
                // Somebody else may have been quicker, with any of these.
                let name = |which| place.at(&format!("all/{which}"));
                let _ = fs::write(name(which), noise(thread, 10_000));
                let _ = fs::rename(name(which), name(numbers.below(6)));
                let _ = symlink("0", name(numbers.below(6)));
                let _ = fs::hard_link(name(0), name(numbers.below(6)));
                let _ = fs::remove_file(name(numbers.below(6)));
                let _ = fs::read_dir(place.at("all")).unwrap().count();
            }
            _ => match &model[slot] {
                Some(bytes) => assert!(fs::read(&path).unwrap() == *bytes, "{own} in round {round}"),
                None => assert!(File::open(&path).is_err()),
            },
        }
    }
    for (which, bytes) in model.iter().enumerate() {
        let path = place.at(&format!("{own}/{which}"));
        assert_eq!(fs::read(path).ok().as_ref(), bytes.as_ref(), "{own}/{which}");
    }
}

pub(crate) fn eight_threads_get_what_they_wrote(place: &impl Place) {
    fs::create_dir(place.at("all")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || work(place, thread));
        }
    });
    place.is_the_same();
    assert_eq!(
        fs::read_dir(place.real("")).unwrap().count(),
        THREADS as usize + 1
    );
}
