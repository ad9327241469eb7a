use super::*;

/// As `sha256sum` and its kin print them for a file with `abc` in it.
const OF_ABC: [&str; 3] = [
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
];

#[test]
fn a_file_has_the_checksum_that_others_print() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "abc").unwrap();
    for text in OF_ABC {
        let checksum: Checksum = text.parse().unwrap();
        assert_eq!(text.to_uppercase().parse(), Ok(checksum.clone()));
        let found = checksum.of_file(file.path()).unwrap();
        assert!(checksum.matches(&found) && checksum == found);
        assert!(found.to_string().ends_with(text));
    }
    let [sha256, sha384, _] = OF_ABC.map(|text| text.parse::<Checksum>().unwrap());
    assert!(!sha256.matches(&sha384));
    let mut other = sha256.clone();
    other.digest[31] ^= 1;
    assert!(!sha256.matches(&other));
}

#[test]
fn a_file_larger_than_a_block_is_read_to_its_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![7; 3 * BLOCK + 1]).unwrap();
    let any = Checksum::sha256([0; 32]);
    let found = any.of_file(file.path()).unwrap();
    let whole = digest::digest(&SHA256, &vec![7; 3 * BLOCK + 1]);
    assert_eq!(found.digest, whole.as_ref());
}

#[test]
fn other_text_is_no_checksum() {
    for text in ["", "abc", &OF_ABC[0][1..], &format!("{}0", OF_ABC[2])] {
        let error = text.parse::<Checksum>().unwrap_err();
        assert!(error.to_string().contains("not 64, 96 or 128"), "{error}");
    }
    for text in [
        "g".repeat(64),
        "é".repeat(32),
        format!("+{}", "0".repeat(63)),
    ] {
        let error = text.parse::<Checksum>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid checksum: not all hexadecimal digits"
        );
    }
}
