#[path = "readahead/sim.rs"] #[allow(dead_code)] mod sim;
use sim::*; use forebay_readahead::*;
#[test] fn uni() {
    let (size,len)=(4*MIB,4*KIB);
    let mut dice=Dice::new(2);
    let mut ahead=ReadAhead::new(ReadAheadConfig::default(), size);
    for n in 0..10000 { let r=at(dice.below(size-len),len); let p=ahead.observe(Read{range:r,starved:true,spare:u64::MAX});
      if n<12 || !p.ahead.is_empty() || !p.cancel.is_empty() {println!("{n} {r} {p:?}");} if !p.ahead.is_empty() {return;} }
}
#[test] fn after() {
    let (size,len)=(64*MIB,4*KIB);
        let mut dice = Dice::new(1);
        let mut sim = Sim::new(ReadAheadConfig::default(), size, 4);
        for _ in 0..1000 {
            sim.read(at(dice.below(size / len) * len, len));
        }
        for n in 0..300 { let p=sim.read(at(size/2+n*len,len)); if n<10 || !p.ahead.is_empty() {println!("{n} {p:?}");} if !p.ahead.is_empty() {return;}}
}
