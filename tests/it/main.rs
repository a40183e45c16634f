//! Integration tests of the whole workspace, in one binary: it links Burn once.

// The tree itself: sources, dependencies, licences, documents.
mod tidy;
