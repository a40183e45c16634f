//! Integration tests of the whole workspace, in one binary: it links Burn once.

// Fleets of real worker sessions in virtual time: accuracy, stragglers, workers that vanish.
mod fleets;
// One worker equals a loop written in Burn itself.
mod oracle;
// The tree itself: sources, dependencies, licences, documents.
mod tidy;
