//! Draft.
pub mod device;
pub mod media;
pub mod metrics;
pub mod measures;
mod features;
mod reduced;
mod tensors;
#[doc(hidden)] pub fn dump(f:&media::Ffmpeg,r:&[u8],a:&[u8])->measures::Measures{ use burn::backend::Flex; let l=media::Limits::ANSWER; let d=Default::default(); let s=media::decode(f,r,&l).unwrap(); let a=media::decode(f,a,&l).unwrap(); let a=reduced::resized(a,s.width(),s.height()); let o:Vec<usize>=(0..s.len()).collect(); let p=reduced::frames_at_times_of(&a,&s); let t=std::time::Instant::now(); let sf=features::Features::of::<Flex>(&s,&o,&d); let af=features::Features::of::<Flex>(&a,&p,&d); let t2=t.elapsed(); let m=measures::compare::<Flex>((&s,&sf),(&a,&af),&p,&d); eprintln!("{:?} {:?}",t2,t.elapsed()); m}
