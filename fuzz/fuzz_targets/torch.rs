#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inmerge_ckpt_fuzz::torch(data));
