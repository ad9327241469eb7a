//! The line by which a plugin, which may be anything, tells its host where it listens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_plugin::HandshakeLine;

fuzz_target!(|line: &[u8]| {
    let text = String::from_utf8_lossy(line);
    if let Ok(line) = text.parse::<HandshakeLine>() {
        assert_eq!(line.to_string().parse(), Ok(line));
    }
});
