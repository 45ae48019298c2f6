//! The fault switch itself: the tests' binary has it, and no default build.

use crate::support::{Place, outcome};

#[test]
fn the_binary_of_the_tests_has_the_switch() {
    let place = Place::new();
    for wrong in ["nonsense", "before:0", "after:"] {
        let mut command = place.command(&["ask", "What is 2 + 2?"]);
        command.env("BELUGA_FAULT", wrong);
        let refused = outcome(command);
        assert_eq!(refused.code, Some(2), "{wrong}: built without the feature fault-injection? {refused:?}");
        assert!(refused.stderr.contains("BELUGA_FAULT: must be before:N or after:N"), "{refused:?}");
    }
}

#[test]
fn no_default_build_has_the_switch() {
    let manifest = include_str!("../../Cargo.toml");
    let features = manifest.split("[features]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(features.lines().any(|line| line.starts_with("fault-injection = ")));
    assert!(!features.lines().any(|line| line.starts_with("default")), "it is chosen by name only: {features}");
    let normal = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    assert!(!normal.contains("fault-injection"), "only what is built for tests has it: {normal}");
}
