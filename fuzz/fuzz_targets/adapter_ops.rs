#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fullduplex_fuzz::adapter_ops::adapter_ops(data);
});
