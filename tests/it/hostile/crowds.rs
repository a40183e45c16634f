//! Too many at once.
