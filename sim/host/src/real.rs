//! The real arm.
