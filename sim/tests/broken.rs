//! To come.

#[test]
fn nothing() {}
