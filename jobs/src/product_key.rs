//! Product keys: hash of a phase's own configuration, the keys of its inputs and the format version.

use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Raised when the meaning of any product changes without its configuration changing.
const CHAIN_VERSION: &str = "3";

/// Joins parts into a key; lengths are hashed too, so that no two lists of parts collide.
pub fn key<'a>(phase: &'a str, parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in [CHAIN_VERSION, phase].into_iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())
}

/// Hash of a section of the configuration.
pub fn section<T: serde::Serialize>(value: &T) -> String {
    key("section", [serde_json::to_string(value).expect("configurations are plain values").as_str()])
}

/// Hash of a file's content.
pub fn file(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(key("a", ["bc", "d"]), key("a", ["b", "cd"]));
        assert_eq!(key("a", ["b"]), key("a", ["b"]));
        assert_ne!(key("a", ["b"]), key("b", ["b"]));
    }
}
