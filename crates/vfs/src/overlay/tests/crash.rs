//! `kill -9` at any moment: what was done before is there, what was not is not, and nothing is half done.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay_types::BLOCK;

use super::*;

const LOWER: u64 = 5 * BLOCK + 777;

/// The lower file of the tests.
fn lower() -> Vec<u8> {
    (0..LOWER).map(|at| (at % 251) as u8).collect()
}

/// What is in slot `slot` of file `n` after step `step`: told by itself.
fn mark(n: u64, step: u64) -> [u8; 512] {
    let mut mark = [n as u8 + 1; 512];
    mark[..8].copy_from_slice(&step.to_le_bytes());
    mark
}

/// The child: makes changes, each told before and after, until it is killed.
#[test]
#[ignore = "a process that another test starts"]
fn a_writer() {
    let mut order = String::new();
    std::io::stdin().read_line(&mut order).unwrap();
    let mut words = order.split_whitespace();
    let (Some(dir), Some(seed)) = (words.next(), words.next()) else {
        return;
    };
    let mut random = fastrand::Rng::with_seed(seed.parse().unwrap());
    let upper = Upper::open(Path::new(dir), BASE, clock()).unwrap();
    let root = upper.root();
    let lower = lower();
    let mut out = std::io::stdout().lock();
    let mut step: u64 = words.next().unwrap().parse().unwrap();
    loop {
        step += 1;
        let n = random.u64(0..4);
        let name = format!("file {n}");
        // Each step replaces a name by one that tells of the step, or writes the step's mark into a file.
        match random.u32(0..4) {
            0 => {
                writeln!(out, "begin name {n} {step}").unwrap();
                let temporary = format!("temporary {n}");
                if upper.entry(root, temporary.as_bytes()).unwrap().is_some() {
                    // Left by the one that was killed before us.
                    upper.unlink(root, temporary.as_bytes(), false).unwrap();
                }
                let (_, file) = upper.create(root, temporary.as_bytes(), new(0o600)).unwrap();
                write(&file, 0, &mark(n, step));
                upper
                    .rename(
                        (root, temporary.as_bytes()),
                        (root, format!("named {n}").as_bytes()),
                        Rename::Replace,
                        false,
                    )
                    .unwrap();
                writeln!(out, "done name {n} {step}").unwrap();
            }
            1 => {
                let id = upper
                    .adopt_file(root, name.as_bytes(), &origin(&name, LOWER), attrs(0o600))
                    .unwrap();
                let file = upper.data(id).unwrap();
                let slot = random.u64(0..LOWER / 512);
                writeln!(out, "begin write {n} {step} {slot}").unwrap();
                let bytes = mark(n, step);
                while let Changed::Fill(ranges) = file.write_at(slot * 512, &bytes).unwrap() {
                    for range in ranges {
                        let bytes = &lower[range.start() as usize..range.end() as usize];
                        file.fill(range.start(), bytes).unwrap();
                    }
                }
                writeln!(out, "done write {n} {step} {slot}").unwrap();
            }
            2 => {
                writeln!(out, "begin dirs {n} {step}").unwrap();
                let (a, b) = (format!("a {n}"), format!("b {n}"));
                let from = if at(&upper, &a).is_some() { (a, b) } else { (b, a) };
                if at(&upper, &from.0).is_none() {
                    upper.mkdir(root, from.0.as_bytes(), new(0o700)).unwrap();
                }
                upper
                    .rename(
                        (root, from.0.as_bytes()),
                        (root, from.1.as_bytes()),
                        Rename::Replace,
                        true,
                    )
                    .unwrap();
                writeln!(out, "done dirs {n} {step}").unwrap();
            }
            _ if random.u32(0..4) == 0 => upper.sync().unwrap(),
            _ if random.u32(0..20) == 0 => upper.shared.rewrite().unwrap(),
            _ => {}
        }
        out.flush().unwrap();
    }
}

/// What the child said.
#[derive(Default)]
struct Told {
    /// By file: the mark that is there, and those that may be.
    named: [(u64, u64); 4],
    /// By file and slot.
    written: BTreeMap<(u64, u64), (u64, u64)>,
    last: u64,
}

impl Told {
    fn hear(&mut self, line: &str) {
        // The first line of the test's own output stands before it.
        let Some(at) = line.find("begin ").or_else(|| line.find("done ")) else {
            return;
        };
        let words: Vec<_> = line[at..].split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word: &&str| word.parse::<u64>().ok());
        let (Some(n), Some(step)) = (number(2), number(3)) else {
            return;
        };
        self.last = self.last.max(step);
        let place = match (words[1], number(4)) {
            ("name", _) => &mut self.named[n as usize],
            ("write", Some(slot)) => self.written.entry((n, slot)).or_default(),
            _ => return,
        };
        place.1 = step;
        if words[0] == "done" {
            place.0 = step;
        }
    }
}

#[test]
fn a_killed_writer_leaves_what_it_said() {
    let rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(9);
    let mut told = Told::default();
    let lower = lower();
    for round in 0..15u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "overlay::tests::crash::a_writer",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(
            child.stdin.as_mut().unwrap(),
            "{} {round} {}",
            rig.path().display(),
            told.last
        )
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..random.u32(1..120) {
            told.hear(&lines.next().unwrap().unwrap());
        }
        std::thread::sleep(Duration::from_micros(random.u64(0..3000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            told.hear(&line);
        }
        check(&rig, &mut told, &lower);
    }
    assert!(told.written.len() > 20 && told.named.iter().all(|named| named.0 > 0));
}

fn check(rig: &Rig, told: &mut Told, lower: &[u8]) {
    let upper = rig.open();
    for (n, (done, begun)) in (0..).zip(&mut told.named) {
        let Some(id) = at(&upper, &format!("named {n}")) else {
            assert_eq!(*done, 0, "named {n} is not there");
            continue;
        };
        let bytes = read(&upper.data(id).unwrap());
        let step = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        assert_eq!(bytes, mark(n, step), "half a file");
        assert!(
            step == *done || step == *begun,
            "{step} is not {done} and not {begun}"
        );
        (*done, *begun) = (step, step);
    }
    let mut files = BTreeMap::new();
    for n in 0..4 {
        let Some(id) = at(&upper, &format!("file {n}")) else {
            continue;
        };
        let file = upper.data(id).unwrap();
        let mut bytes = vec![0; LOWER as usize];
        for start in (0..LOWER).step_by(BLOCK as usize) {
            let end = (start + BLOCK).min(LOWER) as usize;
            let place = &mut bytes[start as usize..end];
            if let ReadData::Absent(_) = file.read_at(place, start).unwrap() {
                place.copy_from_slice(&lower[start as usize..end]);
            }
        }
        assert_eq!(file.len().unwrap(), LOWER);
        files.insert(n, (bytes, file.dirty().unwrap()));
    }
    for (&(n, slot), (done, begun)) in &mut told.written {
        let (bytes, dirty) = match files.get(&n) {
            Some(file) => file,
            None => {
                assert_eq!(*done, 0, "file {n} is not there");
                continue;
            }
        };
        let start = slot as usize * 512;
        let found = &bytes[start..start + 512];
        let is = |step: u64| step > 0 && found == mark(n, step);
        if is(*begun) {
            *done = *begun;
        } else if is(*done) {
            *begun = *done;
        } else {
            assert_eq!(*done, 0, "slot {slot} of file {n} lost step {done}");
            assert_eq!(found, &lower[start..start + 512], "slot {slot} of file {n}");
            *begun = 0;
        }
        if *done > 0 {
            let is_dirty = dirty
                .iter()
                .any(|range| range.start() <= start as u64 && (start as u64) < range.end());
            assert!(
                is_dirty,
                "slot {slot} of file {n} was changed and does not count so"
            );
        }
    }
    // What was never written to is as it is below.
    for (n, (bytes, _)) in &files {
        for slot in 0..LOWER / 512 {
            let start = slot as usize * 512;
            if !told.written.contains_key(&(*n, slot)) {
                assert_eq!(
                    bytes[start..start + 512],
                    lower[start..start + 512],
                    "slot {slot} of file {n}"
                );
            }
        }
    }
    // A directory that is moved is in one of its places, never in both or none.
    for n in 0..4 {
        let both = at(&upper, &format!("a {n}")).is_some() && at(&upper, &format!("b {n}")).is_some();
        assert!(!both);
    }
}
