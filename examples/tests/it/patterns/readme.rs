use std::path::Path;

use super::program::command;
use crate::wait::soon;

const README: &str = include_str!("../../../README.md");

#[tokio::test]
async fn what_it_shows_is_what_the_programs_print() {
    let programs = Path::new(env!("CARGO_BIN_EXE_retry")).parent().unwrap();
    let (_, shown) = README.split_once("```console\n$ ").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let mut runs = 0;
    for run in shown.split("\n$ ") {
        let (line, expected) = run.split_once('\n').expect(run);
        let line = line.strip_prefix("cargo run -q --bin ").expect(line);
        let (program, arguments) = line.split_once(" -- ").expect(line);
        let arguments: Vec<_> = arguments.split(' ').collect();
        let program = programs.join(program);
        let mut command = command(program.to_str().unwrap(), &arguments);
        let output = soon(line, command.output()).await.unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(printed.trim_end(), expected.trim_end(), "{line}");
        runs += 1;
    }
    assert!(runs > 5, "{shown}");
}

#[test]
fn what_it_links_to_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links: Vec<_> = README.split("](").skip(1).collect();
    assert!(!links.is_empty());
    for link in links {
        let (link, _) = link.split_once(')').unwrap();
        assert!(folder.join(link).exists(), "{link}");
    }
}
