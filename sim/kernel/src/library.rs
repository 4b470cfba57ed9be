//! Where words are found.
